"""`derain models pull` and `push`: weights from and to the Hugging Face Hub."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated

import typer

from derain_cli.cli import options
from derain_cli.cli.console import is_terminal, print_data, print_json
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.help import OUTPUT
from derain_cli.errors import UsageError, WeightsError, printable

__all__ = ["pull", "push"]


@dataclass(frozen=True, kw_only=True)
class PullFlags:
    """The flags of `derain models pull`."""

    name: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME[@REVISION]", help="A model on the Hub; REVISION is a branch, a tag or a commit."
        ),
    ]
    answer: options.Answer = field(default_factory=options.Answer)


@dataclass(frozen=True, kw_only=True)
class PushFlags:
    """The flags of `derain models push`."""

    source: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="An installed model, a weight file, or a folder with one.")
    ]
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub, created if missing.")]
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Create a private repository; refuse an existing one that is public.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="BRANCH",
            show_default="the default branch",
            help="Branch to commit to, created if missing.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    answer: options.Answer = field(default_factory=options.Answer)


@command_from_flags(PullFlags)
def pull(flags: PullFlags) -> int:
    """Download the weights of a model from the Hub, and check them.

    They are stored in the cache of the Hub's client (HF_HOME). --model OWNER/NAME uses them, without a network. Run it
    again for a newer version.
    """
    from derain_cli.checkpoints import hub
    from derain_cli.checkpoints.hub_name import HubName
    from derain_cli.checkpoints.weight_file import load_weights

    name = HubName.parse(flags.name)
    path = hub.pull(name, show=is_terminal(sys.stderr) and not flags.answer.json)
    try:
        weights = load_weights(path)
    except WeightsError as error:
        hub.discard(path)  # otherwise it would count as pulled
        raise WeightsError(f"{name} is no usable derain model: {error.reason}") from error
    if flags.answer.json:
        licence = weights.card.licence
        print_json({"name": str(name), "path": str(path), "sha256": weights.sha256, "licence": licence})
        return 0
    print_data(f"{name}: SHA-256 {weights.sha256}")
    print_data(f"  licence of the weights: {printable(weights.card.licence) or 'not stated'}")
    print_data(f"  use it with -m {name}")
    return 0


@command_from_flags(PushFlags)
def push(flags: PushFlags) -> int:
    """Publish weights on the Hub, with a model card made from their record.

    Writes model.safetensors, config.json and README.md as one commit; other files in the repository stay. The
    repository is public unless --private is given. Needs a token that may write: HF_TOKEN, or `hf auth login`.
    """
    from derain_cli.checkpoints.find import find_weights
    from derain_cli.checkpoints.hub_name import HubName
    from derain_cli.checkpoints.pretrained import files_of_weights
    from derain_cli.checkpoints.publish import publish

    name = HubName.parse(flags.name)
    if flags.revision is not None:
        if name.revision is not None:
            raise UsageError("two branches are given", hint=f"omit @{name.revision} or --revision")
        name = HubName.parse(f"{name}@{flags.revision}")
    weights, files = files_of_weights(find_weights(flags.source), name.repo)
    made = publish(name, weights, files, private=flags.private, show=is_terminal(sys.stderr) and not flags.answer.json)
    if flags.answer.json:
        print_json(
            {
                "name": str(name),
                "commit": made.commit,
                "private": made.private,
                "created": made.created,
                "sha256": weights.sha256,
                "files": {file: len(content) for file, content in files.items()},
            }
        )
        return 0
    kind = f"{'new ' if made.created else ''}{'private' if made.private else 'public'} repository"
    print_data(f"{name}: commit {printable(made.commit)}, {kind}")
    for file, content in files.items():
        print_data(f"  {file}: {len(content) / 1e6:.2f} MB")
    return 0
