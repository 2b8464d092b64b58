"""What the doctor looks for, in a log, a machine, a config and its data: one file per organ."""
