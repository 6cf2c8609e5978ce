"""Processing of many inputs: what the commands do with files, without terminal output."""
