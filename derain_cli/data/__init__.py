"""Files meet tensors: which data sets there are, how pairs are found, training patches and their loader."""
