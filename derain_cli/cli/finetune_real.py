"""`derain finetune-real`: semi-supervised training with photos in real rain that have no clean partner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from derain_cli.cli.flags import takes
from derain_cli.cli.runs import Recipe, RunFlags, run_plan

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


@takes(FinetuneFlags)
def finetune_real(flags: FinetuneFlags) -> int:
    """Adapt a trained network to photos in real rain that have no clean partner.

    It starts from --from, by default the weights `fast`. Labelled data (--dataset, --layers, --clean) are trained on
    beside the photos, which are pulled towards clean pictures and away from rainy ones in the feature space of a
    VGG-16 (--vgg). The run stops by itself when they change too much. RUN/best.safetensors is the result: what takes
    most out of photos that were kept aside and least out of clean pictures, and costs at most 0.1 dB on pairs
    (contrast.psnr_budget); averages with the start are tried at the end. With --recipe paper-semi, the
    semi-supervised training of the paper starts from nothing.
    """
    flags.refuse_mistakes()
    return run_plan(flags.plan(flags.real, adapts="fast"), flags.talk.reporter(), yes=flags.yes)
