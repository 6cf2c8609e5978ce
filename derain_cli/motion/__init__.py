"""How the pictures of a clip move: arrays only, no files, no torch."""
