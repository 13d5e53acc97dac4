"""Training of adapters and predictors on a frozen base codec, and their export."""
