"""`derain models export`: a network as a file that other programs run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from derain_cli.cli import options
from derain_cli.cli.console import print_data, print_json
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.help import OUTPUT
from derain_cli.errors import UsageError, printable

if TYPE_CHECKING:
    from derain_cli.checkpoints.weight_file import Weights

__all__ = ["export"]


@dataclass(frozen=True, kw_only=True)
class ExportFlags:
    """The flags of `derain models export`."""

    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="An installed model, or a weight file.")]
    to: Annotated[
        Literal["onnx", "openvino", "torchscript"],
        typer.Option(
            "--to",
            help="File format: NAME.onnx, NAME.xml with NAME.bin (OpenVINO), or NAME.ts.",
            rich_help_panel=OUTPUT,
        ),
    ]
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default="NAME.onnx, .xml or .ts, here",
            help="File to write.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=OUTPUT)] = (
        False
    )
    answer: options.Answer = field(default_factory=options.Answer)


@command_from_flags(ExportFlags)
def export(flags: ExportFlags) -> int:
    """Export a network for other programs.

    The file is in fp32 and takes pictures of any size. It is written only after it has been run and its output compared
    with that of derain.
    """
    from derain_cli.checkpoints.find import find_weights
    from derain_cli.checkpoints.weight_file import load_weights, network
    from derain_cli.engine import export as exports

    weights = load_weights(find_weights(flags.name))
    suffixes = exports.SUFFIXES[flags.to]
    path = flags.output or Path(f"{weights.path.stem}{suffixes[0]}")
    if path.suffix.lower() not in suffixes:
        wanted = " or ".join(suffixes)
        raise UsageError(f"the name of a file for {flags.to} ends in {wanted}", path=path)
    made = exports.export(network(weights), flags.to, path, about=_about(weights), overwrite=flags.overwrite)
    if flags.answer.json:
        print_json(
            {
                "path": str(path),
                "format": flags.to,
                "sha256": {str(each): sha256 for each, sha256 in zip(made.paths, made.sha256, strict=True)},
                "inputs": {name: list(shape) for name, shape in made.inputs.items()},
                "outputs": list(made.outputs),
                "difference": made.difference,
            }
        )
        return 0
    for each, sha256 in zip(made.paths, made.sha256, strict=True):
        print_data(f"{printable(each)}: SHA-256 {sha256}")
    for name, shape in made.inputs.items():
        print_data(f"  input: {name}, float32 ({', '.join(map(str, shape))}), RGB from 0 to 1")
    print_data(f"  outputs: {', '.join(made.outputs)}")
    print_data(f"  checked by running it: differs from derain by at most {made.difference:.2g} levels of 255")
    return 0


def _about(weights: Weights) -> str:
    """Where the weights come from; their licence travels with them."""
    card = weights.card
    licence = f"licence of the weights: {card.licence or 'not stated'}"
    return f"derain network {card.name or weights.path.stem}, weights SHA-256 {weights.sha256}; {licence}"
