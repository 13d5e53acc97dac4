"""Measurements of icmh; results lie in benchmarks/results as JSON."""
