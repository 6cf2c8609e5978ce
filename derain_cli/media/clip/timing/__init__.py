"""When a clip's packets are shown, where the file's own timestamps don't say it rightly."""
