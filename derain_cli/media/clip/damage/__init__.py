"""Detection of damage in clips, which FFmpeg skips silently."""
