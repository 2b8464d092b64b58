"""Code sequences as few bytes, and back: range coding with a prior, files of compressed speech."""
