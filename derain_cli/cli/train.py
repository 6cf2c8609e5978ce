"""`derain train`: supervised training on pairs, real rain layers and generated rain."""

from __future__ import annotations

from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.run_progress import run_plan
from derain_cli.cli.runs import RunFlags

__all__ = ["train"]


@command_from_flags(RunFlags)
def train(flags: RunFlags) -> int:
    """Train a network on pairs of rainy and clean pictures.

    --dataset, --layers and --clean can be combined; the recipe sets their shares (data.pairs, data.layers,
    data.generated). --contrast adds the supervised contrastive term. The result is RUN/best.safetensors, ready for
    `derain --model`.
    """
    flags.refuse_mistakes()
    return run_plan(flags.plan(), flags.talk.reporter(), yes=flags.yes)
