"""Encoding and decoding of sequences of frames, as streams."""
