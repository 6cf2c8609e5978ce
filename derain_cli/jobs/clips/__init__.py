"""Restoration of clips: reading, network, temporal filter and encoding overlap, and a killed job can be resumed.

`run` processes the clips of a plan with a `frame_restorer`. Frames pass through a chain of threads (`jobs.prefetch`)
and are encoded in segments, stored next to the output until all are done (`parts`). `outcome` describes results.
"""
