"""What the doctor looks for in a log: one file per organ."""
