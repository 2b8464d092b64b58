"""Autoregressive models of code sequences: how probable codes are, and new ones."""
