"""Checkpoints of a training run: a folder with a safetensors file, a JSON file and a manifest with their SHA-256.

The manifest is written last: a folder without a valid one is ignored.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from derain_cli.checkpoints.weight_file import on_cpu
from derain_cli.errors import DerainError, WeightsError, resource_error_from
from derain_cli.system.files import atomic_bytes

__all__ = ["latest_checkpoint", "load_checkpoint", "save_checkpoint"]

_STEP = re.compile(r"step-(\d{9})")
_TENSORS, _STATE, _MANIFEST = "state.safetensors", "state.json", "manifest.json"


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, keep: int = 2
) -> Path:
    """Write `folder/step-NNNNNNNNN`, its manifest last, then delete all but the `keep` newest checkpoints.

    Args:
        folder: of the run's checkpoints; created if missing.
        step: optimiser steps done.
        tensors: any tensors, by name.
        state: anything that JSON can represent.
        keep: number of checkpoints to keep.

    Raises:
        ResourceError: the disk is full; earlier checkpoints are untouched and the partial one is removed.
    """
    place = folder / f"step-{step:09d}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / _MANIFEST).unlink(missing_ok=True)
        blobs = {
            _TENSORS: safetensors.torch.save(on_cpu(tensors)),
            _STATE: json.dumps(state).encode(),
        }
        for name, blob in blobs.items():
            atomic_bytes(place / name, blob, overwrite=True)
        sums = {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()}
        atomic_bytes(place / _MANIFEST, json.dumps({"step": step, "sha256": sums}).encode(), overwrite=True)
    except (OSError, DerainError) as error:
        shutil.rmtree(place, ignore_errors=True)
        raise resource_error_from(error, place) or error from error
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if _STEP.fullmatch(p.name) and (p / _MANIFEST).is_file())


def load_checkpoint(place: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of one checkpoint folder, after verifying its checksums.

    Raises:
        WeightsError: incomplete or damaged.
    """
    try:
        sums = json.loads((place / _MANIFEST).read_bytes())["sha256"]
        blobs = {name: (place / name).read_bytes() for name in (_TENSORS, _STATE)}
        for name, blob in blobs.items():
            if hashlib.sha256(blob).hexdigest() != sums[name]:
                raise WeightsError(f"checksum mismatch in {name}", path=place)
        return safetensors.torch.load(blobs[_TENSORS]), json.loads(blobs[_STATE])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise WeightsError(f"not a usable checkpoint: {error}", path=place) from error


def latest_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[WeightsError]] | None:
    """Tensors and state of the newest valid checkpoint, and the errors of newer ones; None if there is no checkpoint.

    Raises:
        WeightsError: there are checkpoints, but none is valid.
    """
    skipped: list[WeightsError] = []
    for place in reversed(_checkpoints(folder)):
        try:
            tensors, state = load_checkpoint(place)
        except WeightsError as error:
            skipped.append(error)
        else:
            return tensors, state, skipped
    if skipped:
        raise skipped[0]
    return None
