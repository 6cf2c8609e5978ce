"""Saves and loads weights: written atomically, verified before use, never executed."""
