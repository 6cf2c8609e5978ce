"""Correction of timestamps in files with several recordings."""
