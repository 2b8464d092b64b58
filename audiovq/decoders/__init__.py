"""Frames to waveform; one decoder per file."""
