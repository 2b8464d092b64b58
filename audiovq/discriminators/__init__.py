"""Networks that tell original from reconstruction, for the adversarial recipe; one per file."""
