"""Exact integers: the quantised hyper-decoder, the shipped tables and the guarded range coder."""
