"""Corpora as people have them on disk; one per file."""
