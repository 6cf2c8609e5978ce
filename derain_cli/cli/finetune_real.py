"""`derain finetune-real`: semi-supervised training with photos in real rain that have no clean partner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from derain_cli.cli.runs import Recipe, RunFlags, Start, run_plan, takes

__all__ = ["finetune_real"]

RealPhotos = Annotated[
    list[Path],
    typer.Option(
        "--real",
        metavar="DIR|FILE",
        help="Photos in real rain; of a folder with a folder `train` in it, only that one. Repeatable.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class FinetuneFlags(RunFlags):
    """The flags of `derain train` with other defaults, and the real photos."""

    real: RealPhotos
    recipe: Recipe = "finetune"
    from_: Start = "fast"


@takes(FinetuneFlags)
def finetune_real(flags: FinetuneFlags) -> int:
    """Adapt a trained network to photos in real rain that have no clean partner.

    Labelled data (--dataset, --layers, --clean) are trained on beside the photos and choose the best weights. The
    photos are pulled towards clean pictures and away from rainy ones in the feature space of a VGG-16 (--vgg). The
    run stops by itself when the photos change too much; RUN/best.safetensors is the result.
    """
    return run_plan(flags.plan(flags.real), flags.reporter())
