"""Clips in the bench: their codecs, their networks, and how they are measured."""
