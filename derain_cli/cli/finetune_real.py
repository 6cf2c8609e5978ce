"""`derain finetune-real`: semi-supervised training with unpaired photos in real rain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.run_progress import run_plan
from derain_cli.cli.runs import DATA, Recipe, RunFlags

__all__ = ["finetune_real"]

RealPhotos = Annotated[
    list[Path],
    typer.Option(
        "--real",
        metavar="DIR|FILE",
        help="Photos in real rain. If a folder has a subfolder `train`, only that is used. Repeatable.",
        rich_help_panel=DATA,
    ),
]


@dataclass(frozen=True, kw_only=True)
class FinetuneFlags(RunFlags):
    """The flags of `derain train` with another default recipe, and the real photos."""

    real: RealPhotos
    recipe: Recipe = "finetune"


@command_from_flags(FinetuneFlags)
def finetune_real(flags: FinetuneFlags) -> int:
    """Adapt a trained network to photos in real rain, which have no clean partner.

    Training starts from --from (default: fast) and also uses labelled data (--dataset, --layers, --clean). In the
    feature space of a VGG-16 (--vgg), results of the photos are pulled towards clean pictures and away from rainy
    ones. The run stops early if the photos change too much.

    The result is RUN/best.safetensors: the weights that remove most from held-out photos and least from clean pictures,
    at a cost of at most 0.1 dB on pairs (contrast.psnr_budget); averages with the initial weights are tried at the end.
    --recipe paper-semi is the semi-supervised training of the paper, from scratch.
    """
    flags.refuse_mistakes()
    return run_plan(flags.plan(flags.real, adapts="fast"), flags.talk.reporter(), yes=flags.yes)
