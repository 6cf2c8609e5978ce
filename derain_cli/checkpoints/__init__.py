"""Weights in and out: written whole or not at all, checked before use, never executed."""
