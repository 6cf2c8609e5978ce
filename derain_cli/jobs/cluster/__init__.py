"""Restores photos on many machines: `run` hands them to the workers of `pool`, which `ray_cluster` starts with Ray.

Only `ray_cluster` knows Ray. Workers read and write the photos themselves, so all machines need the same folders; what
travels is names and results.
"""
