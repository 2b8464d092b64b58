"""What the doctor looks at before it judges: machine, software, GPUs, and a config's plan."""
