"""Training: objectives say what is good, the trainer is the one loop, a run is a folder that can be resumed."""
