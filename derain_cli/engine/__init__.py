"""Inference. `restorer` is the only path from picture to picture: photos, clips, evaluation and validation."""
