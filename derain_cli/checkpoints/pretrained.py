"""A model as a folder, in the form of a repository on the Hub: weights, configuration and README.md.

Only the weight file is read again, since it has everything; the others are for people and for the Hub's pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from derain_cli import __version__
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.hub import WEIGHTS_FILE
from derain_cli.checkpoints.hub_card import hub_card
from derain_cli.checkpoints.weight_file import Weights, read_weights, verified, weights_bytes
from derain_cli.config import to_mapping
from derain_cli.errors import DestinationError
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_bytes, make_folder

if TYPE_CHECKING:
    from derain_cli.model import SemiDRDNet

__all__ = ["files_of_network", "files_of_weights", "write_pretrained"]

_CONFIG, _README = "config.json", "README.md"


def files_of_weights(path: Path, repo: str | None = None) -> tuple[Weights, dict[str, bytes]]:
    """A verified weight file, unchanged, and the files beside it in a repository, by name.

    Args:
        path: of the weight file. The text of a model card beside it (`NAME.md`; README.md in a folder of this form) is
            used for README.md.
        repo: `owner/name`, for README.md.

    Raises:
        WeightsError: as for `load_weights`.
    """
    blob = read_weights(path)
    weights = verified(blob, path)
    beside = path.with_name(_README) if path.name == WEIGHTS_FILE else path.with_suffix(".md")
    text = beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else None
    return weights, _files(blob, weights, text, repo)


def files_of_network(model: SemiDRDNet, card: Card, repo: str | None = None) -> tuple[Weights, dict[str, bytes]]:
    """The same for a network and its card."""
    blob, _ = weights_bytes(model, card)
    weights = verified(blob, Path(WEIGHTS_FILE))
    return weights, _files(blob, weights, None, repo)


def _files(blob: bytes, weights: Weights, text: str | None, repo: str | None) -> dict[str, bytes]:
    config = {
        "model_type": "semi-drdnet",
        "library_name": "derain",
        "library_version": __version__,
        "sha256": weights.sha256,
        "network": to_mapping(weights.config),
    }
    return {
        _CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        _README: hub_card(weights, text, repo).encode("utf-8", "replace"),
        WEIGHTS_FILE: blob,
    }


def write_pretrained(folder: Path, files: Mapping[str, bytes], *, overwrite: bool = False) -> None:
    """Write the files to a folder, which is created if missing; each of them completely or not at all.

    Raises:
        DestinationError: one of them exists (without `overwrite`), or the folder cannot be written to.
        ResourceError: the disk is full.
    """
    make_folder(folder)
    for name in files:
        if not overwrite and (folder / name).exists():
            raise DestinationError("the destination already exists", path=folder / name, remedy=Remedy.REPLACE)
    for name, content in files.items():
        atomic_bytes(folder / name, content, overwrite=overwrite)
