"""Recognition networks behind one contract: preprocess, features, predict, metric."""
