"""Scores against ground truth and figures without it: for `derain eval` and for the validation in training alike."""
