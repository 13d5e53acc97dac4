"""Rate against accuracy over a data set, beside the codecs that people use today."""
