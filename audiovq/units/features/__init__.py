"""Continuous features of speech that k-means turns into units."""
