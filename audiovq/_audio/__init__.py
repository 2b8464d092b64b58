"""What `audiovq.audio` is made of: containers, decoding, trust."""
