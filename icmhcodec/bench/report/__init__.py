"""Reports of a benchmark: CSV, plot and page, all made from the same summary."""
