"""Waveform to frames; one encoder per file."""
