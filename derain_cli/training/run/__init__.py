"""A training run is a folder: what it was asked for, its log, its pictures, its checkpoints, its best weights.

RUN/run.json             what the run hangs on; a resumed run must agree with it
RUN/log.jsonl            one record per `log_every` steps and per validation
RUN/tensorboard/         the same for TensorBoard, when it is installed
RUN/pictures/            rainy | restored | clean, each time the run validates; real-step-N.png: real photos before
                         and after, in runs that have some
RUN/checkpoints/         the two newest
RUN/best.safetensors     weights with the best mean validation PSNR (protocol rgb); a copy of the weights that the run
                         started from until something beats them
RUN/last.safetensors     weights of the newest validation, or of the step at which the run stopped
RUN/hashes.json          perceptual hashes of the training pictures, for the cards of the weights
"""

from __future__ import annotations

from derain_cli.training.run.loop import train
from derain_cli.training.run.plan import Listener, RunPlan, RunResult, SilentListener

__all__ = ["Listener", "RunPlan", "RunResult", "SilentListener", "train"]
