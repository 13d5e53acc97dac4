"""Base codecs behind one contract (contract.py) and their registry (registry.py)."""
