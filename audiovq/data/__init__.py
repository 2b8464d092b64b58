"""Speech on disk -> manifest -> batches of waveforms."""
