"""What stands between encoder and decoder; one bottleneck per file."""
