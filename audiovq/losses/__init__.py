"""How far a reconstruction is from the original; means over each item's real samples."""
