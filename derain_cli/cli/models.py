"""`derain models`: lists, describes, verifies, averages, exports and shares weights."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derain_cli.cli import options
from derain_cli.cli.console import print_data, print_error, print_json
from derain_cli.cli.export import export
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.help import OUTPUT, HelpfulCommand, HelpfulGroup
from derain_cli.cli.hub import pull, push
from derain_cli.errors import DerainError, DestinationError, NothingToDoError, WeightsError, printable
from derain_cli.remedies import Remedy

if TYPE_CHECKING:
    from derain_cli.checkpoints.card import Card
    from derain_cli.checkpoints.weight_file import Weights
    from derain_cli.model import SemiDRDNet

__all__ = ["app"]

app = options.new_app(cls=HelpfulGroup, help="List, describe, verify, average, export and share weights.")

_WIDTH = 100
"""Of printed lines, in characters."""

_AVERAGING = "Averaging"

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME|FILE...",
        show_default="all installed models",
        help="Installed models, weight files, or models on the Hub.",
    ),
]
Name = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE|OWNER/NAME", help="An installed model, a weight file, or a model on the Hub."),
]


@app.callback(invoke_without_command=True)
def _models(context: typer.Context, json: options.JsonAnswer = False, debug: options.Debug = False) -> int:
    if context.invoked_subcommand is not None:
        return 0
    return list_models(json=json, debug=debug)


@dataclass(frozen=True, kw_only=True)
class NamedFlags:
    """The flags of commands for one model."""

    name: Name
    answer: options.Answer = field(default_factory=options.Answer)


@dataclass(frozen=True, kw_only=True)
class VerifyFlags:
    """The flags of `derain models verify`."""

    names: Names = None
    answer: options.Answer = field(default_factory=options.Answer)


@dataclass(frozen=True, kw_only=True)
class AverageFlags:
    """The flags of `derain models average`."""

    names: Annotated[
        list[str], typer.Argument(metavar="NAME|FILE...", help="Weights of networks with the same architecture.")
    ]
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Weight file to write.", rich_help_panel=OUTPUT),
    ]
    share: Annotated[
        list[float] | None,
        typer.Option(
            "--share",
            metavar="0..1",
            show_default="equal shares",
            help="Share of each in order; the sum must be 1. Repeatable.",
            rich_help_panel=_AVERAGING,
        ),
    ] = None
    val: Annotated[
        list[str] | None,
        typer.Option(
            "--val",
            metavar="NAME|DIR",
            help="Pairs to compute the scores of the model card on. Repeatable.",
            rich_help_panel=_AVERAGING,
        ),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing output.", rich_help_panel=OUTPUT)
    ] = False
    answer: options.Answer = field(default_factory=options.Answer)


@app.command("list", cls=HelpfulCommand)
@command_from_flags(options.Answer)
def list_models(flags: options.Answer) -> int:
    """List the installed models, as `derain models` does."""
    loaded, code = _load(_installed())
    if flags.json:
        for weights in loaded:
            print_json(_facts(weights))
    else:
        for weights in loaded:
            _print_brief(weights)
    return code


@app.command("show", cls=HelpfulCommand)
@command_from_flags(NamedFlags)
def show(flags: NamedFlags) -> int:
    """Show the card of a model.

    It describes training, scores with their protocol, licence and limits.
    """
    loaded, code = _load([flags.name])
    for weights in loaded:
        facts = _facts(weights)
        if flags.answer.json:
            print_json(facts)
        else:
            _print_card(weights)
    return code


@app.command("verify", cls=HelpfulCommand)
@command_from_flags(VerifyFlags)
def verify(flags: VerifyFlags) -> int:
    """Check SHA-256, shapes and values.

    The exit code is 5 if a file is damaged.
    """
    from derain_cli.checkpoints.find import find_weights
    from derain_cli.checkpoints.weight_file import load_weights

    failed = 0
    for name in flags.names or _installed():
        error: DerainError | None = None
        sha256 = path = None
        try:
            path = find_weights(name)
            sha256 = load_weights(path).sha256
        except DerainError as problem:
            error = problem
            failed = problem.exit_code
            print_error(problem)
        if flags.answer.json:
            status = "failed" if error else "ok"
            where = None if path is None else str(path)
            reason = error.reason if error else None
            print_json({"name": name, "path": where, "sha256": sha256, "status": status, "error": reason})
        elif error is None:
            print_data(f"{printable(name)}: ok, SHA-256 {sha256}")
    return failed


@app.command("path", cls=HelpfulCommand)
@command_from_flags(NamedFlags)
def path(flags: NamedFlags) -> int:
    """Print the path of the weights of a model."""
    from derain_cli.checkpoints.find import find_weights

    file = find_weights(flags.name)
    if not file.is_file():
        raise WeightsError("no such weight file", path=file)
    if flags.answer.json:
        print_json({"name": flags.name, "path": str(file)})
    else:
        print_data(str(file))
    return 0


@app.command("average", cls=HelpfulCommand)
@command_from_flags(AverageFlags)
def average(flags: AverageFlags) -> int:
    """Average weights.

    The mean of `fast` and your fine-tuned weights keeps most of the quality of both. Useful for weights of which one
    was fine-tuned from the other, or which share a starting point.
    """
    from dataclasses import replace

    from derain_cli.checkpoints.average import average_weights
    from derain_cli.checkpoints.find import find_weights
    from derain_cli.checkpoints.weight_file import load_weights, save_weights

    names = flags.names
    shares = flags.share or [1 / len(names)] * len(names)
    made, card = average_weights([load_weights(find_weights(name)) for name in names], shares)
    if flags.output.exists() and not flags.overwrite:
        raise DestinationError("the destination already exists", path=flags.output, remedy=Remedy.REPLACE)
    if flags.val:
        card = replace(card, scores=_measured(made, flags.val))
    sha256 = save_weights(flags.output, made, card, overwrite=flags.overwrite)
    if flags.answer.json:
        print_json({"path": str(flags.output), "sha256": sha256, "scores": card.scores})
    else:
        for line in (f"{flags.output}: SHA-256 {sha256}", *_score_lines(card)):
            print_data(printable(line))
    return 0


def _measured(model: SemiDRDNet, places: list[str]) -> dict[str, Any]:
    """Scores for the card."""
    from derain_cli.datasets.opening import open_dataset
    from derain_cli.engine.restorer import Restorer
    from derain_cli.evaluation.scores import evaluate

    groups = [group for place in places for group in open_dataset(place, "val").groups]
    return evaluate(Restorer(model), groups).as_dict()


def _installed() -> list[str]:
    from derain_cli.checkpoints.find import installed_models

    names = list(installed_models())
    if not names:
        raise NothingToDoError("no models are installed", hint="-m FILE uses a weight file")
    return names


def _load(names: list[str]) -> tuple[list[Weights], int]:
    """The valid ones, and the exit code; errors of the others are printed."""
    from derain_cli.checkpoints.find import find_weights
    from derain_cli.checkpoints.weight_file import load_weights

    loaded, code = [], 0
    for name in names:
        try:
            loaded.append(load_weights(find_weights(name)))
        except DerainError as error:
            print_error(error)
            code = error.exit_code
    return loaded, code


def _facts(weights: Weights) -> dict[str, Any]:
    """Everything known about a weight file, for JSON."""
    from dataclasses import asdict

    from derain_cli.config import to_mapping
    from derain_cli.model.architecture import count_parameters, macs_per_pixel

    return {
        "name": weights.name,
        "path": str(weights.path),
        "bytes": weights.path.stat().st_size,
        "sha256": weights.sha256,
        "network": to_mapping(weights.config),
        "parameters": count_parameters(weights.config),
        "macs_per_pixel": macs_per_pixel(weights.config),
        "card": asdict(weights.card),
    }


def _print_brief(weights: Weights) -> None:
    """A few lines on one model: size, purpose, training data, scores."""
    facts, config, card = _facts(weights), weights.config, weights.card
    size = f"{facts['parameters'] / 1e6:.2f} M parameters, {facts['macs_per_pixel'] / 1e6:.2f} M MAC per pixel"
    shape = f"width {config.width}, blocks {config.blocks}, unshuffle {config.unshuffle}"
    print_data(f"{printable(facts['name'])}: {size}, {facts['bytes'] / 1e6:.1f} MB ({shape})")
    if card.summary:
        print_data(f"  {printable(card.summary)}")
    print_data(f"  licence of the weights: {printable(card.licence) or 'not stated'}")
    for title, lines in (("trained on", card.trained_on), ("scores", _score_lines(card))):
        if lines:
            print_data(f"  {title}:")
        for line in lines:
            _print_wrapped(line, "    ")


def _score_lines(card: Card) -> list[str]:
    """One line per data set and protocol: input and output, PSNR in dB and SSIM."""
    lines = []
    for score in card.measured():
        before, after = (f"{side.psnr:.2f} dB / {side.ssim:.4f}" for side in (score.input, score.output))
        lines.append(f"{score.dataset}, {score.pictures} pictures, {score.protocol}: {before} -> {after}")
    return lines


def _print_card(weights: Weights) -> None:
    """The full card of one model as text, without its thousands of hashes."""
    card = weights.card
    _print_brief(weights)
    plain = {
        "limits": card.limits,
        "training": ", ".join(
            word for word in (f"{card.steps:,} steps", f"{card.patches:,} patches", card.date, card.commit) if word
        ),
        "hashes": f"of {len(card.hashes):,} training pictures",
        "file": f"{weights.path}, SHA-256 {weights.sha256}",
    }
    for name, value in plain.items():
        if value:
            _print_wrapped(f"{name}: {value}", "  ")
    if card.change:
        _print_wrapped("change of real photos: " + _in_words(card.change), "  ")
    if card.recipe:
        print_data("  recipe:")
        for name, value in card.recipe.items():
            _print_wrapped(f"{name}: {_in_words(value)}", "    ")


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_in_words, value)) or "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_wrapped(text: str, indent: str) -> None:
    for line in textwrap.wrap(
        printable(text), _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False
    ):
        print_data(line)


for _command in (export, pull, push):
    app.command(_command.__name__, cls=HelpfulCommand)(_command)
