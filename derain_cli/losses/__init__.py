"""Losses of the paper (eq. 6 to 13): tensors in, a scalar tensor out; nothing here knows files or the training loop."""
