"""Motion between the pictures of a clip: arrays only, no files, no torch."""
