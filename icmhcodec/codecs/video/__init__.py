"""Codecs of P frames behind one contract: DVC and FVC."""
