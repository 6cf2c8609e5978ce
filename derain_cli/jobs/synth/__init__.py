"""Pairs for training and testing: clean photos, and the same photos with generated rain.

The rain of a pair depends only on the seed, the photo's relative path, the profile and the variant number: a run can be
interrupted, repeated, spread over threads, and extended by photos, profiles or variants without changing existing
pairs. The manifest records how they were made, so that pairs of another seed are never mixed in unnoticed.
"""
