"""A training run is a folder with its settings, log, pictures, checkpoints and best weights.

RUN/run.json             what the run depends on; must match when it is resumed
RUN/log.jsonl            one record per `log_every` steps and per validation
RUN/tensorboard/         the same for TensorBoard, if installed
RUN/curve.png            validation PSNR and training loss against the step, redrawn at every validation
RUN/pictures/            rainy | restored | clean, for every validation; real-step-N.png: real photos before and after,
                         in runs that use them
RUN/checkpoints/         the two newest
RUN/best.safetensors     weights with the best mean validation PSNR (protocol rgb); a copy of the starting weights until
                         they are surpassed
RUN/last.safetensors     weights of the newest validation, or of the step at which the run stopped
RUN/hashes.json          perceptual hashes of the training pictures, for model cards
"""

from __future__ import annotations

from derain_cli.training.run.loop import train
from derain_cli.training.run.plan import Listener, RunPlan, RunResult, SilentListener

__all__ = ["Listener", "RunPlan", "RunResult", "SilentListener", "train"]
