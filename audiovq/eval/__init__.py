"""What a model is worth, in figures with intervals."""
