"""Measurements against a baseline in the same run: ratios and differences, never timed tests."""
