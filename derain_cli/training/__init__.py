"""Training: objectives define the loss, the trainer is the training loop, a run is a folder that can be resumed."""
