"""Frames compared with each other."""
