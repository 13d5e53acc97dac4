"""Adapters on a frozen codec: SFMA and its variants, and the bundles that carry trained ones."""
