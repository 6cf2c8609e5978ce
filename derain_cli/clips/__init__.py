"""Clips through one restorer: reading, the network, steadying and coding overlap, and a killed job goes on.

`restore` does the clips of a plan, by an `engine`; frames pass through a chain of threads (`ahead`) and are coded in
segments, which lie beside the output until all are done (`parts`). `outcome` is what is told of them.
"""
