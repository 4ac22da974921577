"""Proofs over the log for whoever does not trust the bank: a tree, its tiles, and signed heads.

Nothing here can write anywhere, or read a database: an auditor runs it with Python and
`cryptography` alone.
"""
