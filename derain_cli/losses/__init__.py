"""Losses of the paper (eq. 6 to 13): tensors in, a scalar tensor out. Independent of files and of the training loop."""
