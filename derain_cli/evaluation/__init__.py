"""Scores with ground truth and figures without it, for both `derain eval` and validation during training."""
