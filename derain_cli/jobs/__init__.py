"""Work on many inputs: what the commands do with files, without the talking."""
