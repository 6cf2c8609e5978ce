"""What damage took from a clip: FFmpeg passes over it without a word."""
