"""Pictures and clips: the only code that opens photo files and video files. No torch."""
