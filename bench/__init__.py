"""Measures the bank beside what people would use instead: see bench/README.md."""
