"""Pairs to train and test with: clean photos, and the same photos with generated rain on them."""
