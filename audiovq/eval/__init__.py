"""What a trained model is worth: reconstruction, codebook, speed; figures with intervals."""
