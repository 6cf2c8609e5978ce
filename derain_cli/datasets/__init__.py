"""Data sets on disk: their catalogue, locations, contents and pairing.

`catalogue` lists the public sets, `download` fetches some, `opening` opens one by name or folder. `pairs` defines
pairs; `layouts`, `sides` and `finding` find the pairs in a folder. `fingerprint` recognises pictures seen in training.
"""
