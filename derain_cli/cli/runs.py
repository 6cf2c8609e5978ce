"""The flags of `derain train` and `derain finetune-real`, and the plan made from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derain_cli.cli import options
from derain_cli.cli.help import OUTPUT, RUN
from derain_cli.config import ContrastMode, RestoreOptions
from derain_cli.errors import NothingToDoError, UsageError
from derain_cli.remedies import Remedy
from derain_cli.system.accelerators import refuse_missing_device

if TYPE_CHECKING:
    from derain_cli.training.run import RunPlan

__all__ = ["DATA", "RunFlags"]

DATA = "Data"
_TRAINING = "Training"
_CARD = "Model card"

Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="NAME|DIR",
        help="Pairs: a folder or a known data set. Repeatable.",
        rich_help_panel=DATA,
    ),
]
LayerFolders = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        metavar="NAME|DIR",
        help="Pairs whose rain is added to other backgrounds. Repeatable.",
        rich_help_panel=DATA,
    ),
]
CleanFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--clean", metavar="DIR", help="Clean photos to add generated rain to. Repeatable.", rich_help_panel=DATA
    ),
]
Validation = Annotated[
    list[str] | None,
    typer.Option(
        "--val",
        metavar="NAME|DIR",
        show_default="some pairs, held out",
        help="Pairs to select the best weights on. Repeatable.",
        rich_help_panel=DATA,
    ),
]
RunFolder = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.", rich_help_panel=OUTPUT),
]
Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="fast, clip, paper, finetune, paper-semi, or a TOML file.",
        rich_help_panel=_TRAINING,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Override a setting of the recipe. Repeatable.",
        rich_help_panel=_TRAINING,
    ),
]
Start = Annotated[
    str | None,
    typer.Option("--from", metavar="NAME|FILE", help="Weights to start from.", rich_help_panel=_TRAINING),
]
Contrast = Annotated[
    ContrastMode | None,
    typer.Option(
        "--contrast",
        show_default="from the recipe",
        help="Contrastive terms (contrast.mode); both is DualSCRNet.",
        rich_help_panel=_TRAINING,
    ),
]
Vgg = Annotated[
    Path | None,
    typer.Option(
        "--vgg",
        metavar="FILE",
        show_default="those of torchvision",
        help="VGG-16 weights for the contrastive terms (safetensors).",
        rich_help_panel=_TRAINING,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in RUN.", rich_help_panel=RUN)]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Download missing VGG-16 weights (528 MB) without asking.", rich_help_panel=RUN),
]
Force = Annotated[
    bool, typer.Option("--force", help="Resume even if settings or data have changed.", rich_help_panel=RUN)
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        metavar="N",
        min=0.0,
        help="Stop after this time, with a checkpoint to resume from.",
        rich_help_panel=RUN,
    ),
]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="Name of the weights.", rich_help_panel=_CARD)]
Summary = Annotated[
    str,
    typer.Option("--summary", metavar="TEXT", help="One line: what the weights are for.", rich_help_panel=_CARD),
]
Licence = Annotated[
    list[str] | None,
    typer.Option(
        "--data-licence",
        metavar="TEXT",
        help="One line on training data and their licence. Repeatable.",
        rich_help_panel=_CARD,
    ),
]


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """The flags of `derain train`, in the order of its help."""

    output: RunFolder
    dataset: Datasets = None
    layers: LayerFolders = None
    clean: CleanFolders = None
    val: Validation = None
    recipe: Recipe = "fast"
    set_: Settings = None
    from_: Start = None
    contrast: Contrast = None
    vgg: Vgg = None
    resume: Resume = False
    force: Force = False
    yes: Yes = False
    minutes: Minutes = None
    name: Name = "custom"
    summary: Summary = ""
    data_licence: Licence = None
    device: options.Device = RestoreOptions.device
    talk: options.Talk = field(default_factory=options.Talk)

    def plan(self, real: list[Path] | None = None, adapts: str | None = None) -> RunPlan:
        """Build the plan of the run.

        The network is that of the recipe or, if the recipe has none, of the initial weights; `--set` overrides both.

        Args:
            real: photos in real rain, or folders of them.
            adapts: initial weights if neither `--from` is given nor the recipe has a network.

        Raises:
            UsageError: an unknown recipe, setting or data set.
            WeightsError: the initial weights are unusable.
        """
        from derain_cli.checkpoints.find import find_weights
        from derain_cli.checkpoints.header import read_head
        from derain_cli.config import (
            TrainConfig,
            apply_overrides,
            from_mapping,
            load_recipe,
            parse_overrides,
            to_mapping,
        )
        from derain_cli.datasets.catalogue import find_record

        def folders(names: list[str] | None) -> tuple[Path | str, ...]:
            return tuple(Path(each) if Path(each).is_dir() else find_record(each).name for each in names or ())

        tables = load_recipe(self.recipe)
        start = self.from_ or (None if "model" in tables else adapts)
        if start is not None:
            network = read_head(find_weights(start)).config
            tables = {"model": to_mapping(network), **tables}
        tables = apply_overrides(tables, parse_overrides(self.set_ or ()))
        if self.contrast is not None:
            tables = apply_overrides(tables, {"contrast": {"mode": self.contrast}})
        config = from_mapping(TrainConfig, tables)
        datasets, layers, validation = folders(self.dataset), folders(self.layers), folders(self.val)
        from derain_cli.training.run import RunPlan

        return RunPlan(
            out=self.output,
            config=config,
            datasets=datasets,
            layers=layers,
            photos=tuple(self.clean or ()),
            real=tuple(real or ()),
            vgg=self.vgg,
            validation=validation,
            start=start,
            resume=self.resume,
            force=self.force,
            device=self.device,
            minutes=self.minutes,
            name=self.name,
            summary=self.summary,
            licences=tuple(self.data_licence or ()),
        )

    def refuse_mistakes(self) -> None:
        """Check data, device and output folder before torch is loaded.

        Raises:
            UsageError: no data are given.
            NothingToDoError: a folder is missing, or there is no run to resume.
            DestinationError: the folder of the run is refused.
            ResourceError: the device is not available.
        """
        from derain_cli.training.output import refuse_output

        refuse_output(self.output, resume=self.resume)
        refuse_missing_device(self.device)
        if not (self.dataset or self.layers or self.clean):
            raise UsageError("nothing to train on", remedy=Remedy.NAME_DATA)
        for folder in self.clean or ():
            if not folder.exists():
                raise NothingToDoError("no such folder", path=folder)
