"""Reads the header of a weight file, without its tensors and without torch."""

from __future__ import annotations

import json
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derain_cli.checkpoints.card import Card
from derain_cli.config import ModelConfig, from_mapping
from derain_cli.errors import UsageError, WeightsError
from derain_cli.remedies import Remedy

__all__ = ["FORMAT", "MAX_HEADER", "META_KEY", "Head", "read_head", "refuse_irregular"]

META_KEY = "derain"
FORMAT = 1
MAX_HEADER = 4 << 20


@dataclass(frozen=True)
class Head:
    """The header of a weight file. Its checksum is not verified here but in `weight_file.load_weights`."""

    path: Path
    config: ModelConfig
    card: Card
    sha256: str
    shapes: tuple[tuple[int, ...], ...]


def refuse_irregular(path: Path) -> None:
    """Check that a weight file exists.

    Raises:
        WeightsError: it does not, or is not a regular file.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        reason = f"cannot read the weights: {error.strerror or error}"
        raise WeightsError(reason, path=path, remedy=Remedy.LIST_MODELS) from error
    if not stat.S_ISREG(mode):
        raise WeightsError("not a usable weights file: not a regular file", path=path, remedy=Remedy.LIST_MODELS)


def read_head(path: Path) -> Head:
    """Read the header of a weight file.

    Raises:
        WeightsError: missing, not a weight file, or an unsupported format.
    """
    refuse_irregular(path)
    try:
        header = _header(path)
        ours = json.loads(header.pop("__metadata__")[META_KEY])
        if ours.get("format") != FORMAT:
            reason = f"weights of format {ours.get('format')!r}; this program reads format {FORMAT}"
            raise WeightsError(reason, path=path, remedy=Remedy.LIST_MODELS)
        shapes = tuple(tuple(entry["shape"]) for entry in header.values())
        config, card = from_mapping(ModelConfig, ours["config"]), Card.from_mapping(ours["card"])
        return Head(path, config, card, str(ours["sha256"]), shapes)
    except OSError as error:
        reason = f"cannot read the weights: {error.strerror or error}"
        raise WeightsError(reason, path=path, remedy=Remedy.LIST_MODELS) from error
    except (UsageError, KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error) as error:
        raise WeightsError("not a usable weights file", path=path, remedy=Remedy.LIST_MODELS) from error


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_HEADER:
            raise ValueError("header too long")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("no tensor table")
    return header
