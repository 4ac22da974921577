"""Reads a real bank's published files (PKDD'99, "Berka") and sends them through the bank."""
