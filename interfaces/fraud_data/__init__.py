"""Reads labelled card transactions and sends them through the bank as authorizations."""
