"""Building blocks: convolutions, activations, random draws."""
