"""Photos through one restorer: reading, the network and writing overlap."""
