"""Pairs to train and test with: clean photos, and the same photos with generated rain on them.

The rain of a pair hangs on the seed, the photo's path below its folder, the profile and the number of the variant,
and on nothing else: a run can be stopped, repeated, spread over threads, and extended by photos, profiles or
variants without a change to the pairs that are there. The manifest beside them says what they were made with, so
that pairs of another seed never come between them unnoticed.
"""
