"""Encoding and decoding of whole pictures."""
