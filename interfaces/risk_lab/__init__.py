"""Where risk models are trained, measured, drawn and watched: beside the bank, not inside it.

Training and drawing need the extra `lab` (LightGBM, numpy, matplotlib; duckdb reads what is to be
imported). Measuring and watching for drift need nothing, and nothing here is needed to score.
"""
