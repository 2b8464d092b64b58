"""The loop, its optimizer, checkpoints, logs and signals; recipes put them together."""
