"""Partition of a latent into nested layers: masks, their predictor and their coding."""
