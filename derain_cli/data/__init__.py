"""Training patches and their loader."""
