"""Where the figures, sounds and pictures of a run go; one place per file."""
