"""The folder of a run and the record of what the run depends on."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import torch

from derain_cli.config import TrainConfig, apply_overrides, differing_keys, to_mapping
from derain_cli.data.datasets import Sources
from derain_cli.errors import UsageError
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_bytes
from derain_cli.training.run.plan import Listener, RunPlan

__all__ = ["agrees", "claim", "data_name", "environment", "fingerprint", "read_hashes"]


def fingerprint(sources: Sources) -> str:
    """A hash of the names and sizes of all training files, so a data set may be moved but not exchanged."""
    digest = hashlib.sha256()
    groups = (*sources.pairs, *sources.layers)
    files = [path for group in groups for pair in group.pairs for path in (pair.rainy, pair.clean)]
    for path in (*files, *sources.photos):
        digest.update(f"{path.name}\0{path.stat().st_size}\n".encode(errors="surrogateescape"))
    for path in (*sources.real, *sources.real_held):
        digest.update(f"real\0{path.name}\0{path.stat().st_size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def data_name(place: Path | str) -> str:
    """A data set's name, or the last two parts of a path ("rain100/train"), which reveal nothing about the machine."""
    return place if isinstance(place, str) else "/".join(place.resolve().parts[-2:])


def read_hashes(path: Path, data: str) -> tuple[str, ...] | None:
    """The hashes stored by this run, if valid and for this data; else None."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return tuple(kept["hashes"]) if kept["data"] == data else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def environment(device: torch.device, config: TrainConfig) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"torch": torch.__version__, "device": device.type, "device_name": name, "threads": torch.get_num_threads()}


def agrees(plan: RunPlan, record: dict[str, Any], listener: Listener) -> bool:
    """Whether `record` matches the record in the run folder, if there is one; changes nothing on disk.

    Raises:
        UsageError: the run was started with other settings, or its record is damaged.
    """
    path = plan.out / "run.json"
    if not path.exists():
        return False
    before = _read_record(path)
    binding = ("config", "data", "start", "features")
    different = [key for part in binding for key in differing_keys({part: before.get(part)}, {part: record[part]})]
    if different and not plan.force:
        raise UsageError(
            f"the run was started with other settings: {', '.join(different)}",
            path=plan.out,
            remedy=Remedy.FORCE,
        )
    for key in differing_keys(before["environment"], record["environment"]):
        listener.note(f"{key} differs from the start of the run: results will not be bit-identical")
    if different:
        listener.note(f"continuing with other settings: {', '.join(different)}")
    return not different


def _read_record(path: Path) -> dict[str, Any]:
    """Runs started by earlier versions lack newer settings, which then have their defaults."""
    try:
        before: dict[str, Any] = json.loads(path.read_bytes())
        before["config"] = apply_overrides(to_mapping(TrainConfig()), dict(before["config"]))
        before["environment"] = dict(before["environment"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError("not a usable record of a run", path=path) from error
    return before


def claim(plan: RunPlan, record: dict[str, Any]) -> None:
    """Create the folder and record what the run depends on."""
    plan.out.mkdir(parents=True, exist_ok=True)
    atomic_bytes(plan.out / "run.json", json.dumps(record, indent=1).encode(), overwrite=True)
