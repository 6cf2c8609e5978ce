"""Clips through one restorer: reading, the network, the temporal filter and coding overlap, and a killed job goes on.

`run` does the clips of a plan, by a `frame_restorer`; frames pass through a chain of threads (`jobs.prefetch`) and are
coded in segments, which lie beside the output until all are done (`parts`). `outcome` is what is told of them.
"""
