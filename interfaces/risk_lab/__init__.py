"""Where risk models are trained, measured, replayed and compared: beside the bank, never in it."""
