"""Measures the bank beside what people would use instead: see docs/benchmarks.md."""
