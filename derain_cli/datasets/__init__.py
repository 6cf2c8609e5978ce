"""Data sets on a disk: which there are, where they lie, what is in them, and which picture belongs to which.

`catalogue` knows the public sets, `download` fetches some, `opening` opens one by name or folder. `pairs` says what a
pair is; `layouts`, `sides` and `finding` find the pairs of a folder. `fingerprint` notices pictures that come again.
"""
