"""The folder of a run: what the run depends on, kept there."""

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
    """A hash of the names and sizes of all training files: moving the folder is fine, another data set is not."""
    digest = hashlib.sha256()
    groups = (*sources.pairs, *sources.layers)
    files = [path for group in groups for pair in group.pairs for path in (pair.rainy, pair.clean)]
    for path in (*files, *sources.photos):
        digest.update(f"{path.name}\0{path.stat().st_size}\n".encode(errors="surrogateescape"))
    for path in (*sources.real, *sources.real_held):
        digest.update(f"real\0{path.name}\0{path.stat().st_size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def data_name(place: Path | str) -> str:
    """A data set's name; of a path the last two parts ("rain100/train"), which give no machine away."""
    return place if isinstance(place, str) else "/".join(place.resolve().parts[-2:])


def read_hashes(path: Path, data: str) -> tuple[str, ...] | None:
    """The hashes that this run kept, when they are whole and of this data."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return tuple(kept["hashes"]) if kept["data"] == data else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def environment(device: torch.device, config: TrainConfig) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"torch": torch.__version__, "device": device.type, "device_name": name, "threads": torch.get_num_threads()}


def agrees(plan: RunPlan, record: dict[str, Any], listener: Listener) -> bool:
    """Whether `record` is what the run folder says already; changes nothing on disk.

    Raises:
        UsageError: the run was started with other settings.
    """
    path = plan.out / "run.json"
    if not path.exists():
        return False
    before = json.loads(path.read_text(encoding="utf-8"))
    # Runs begun by earlier versions lack the settings that came later: those have the defaults.
    before["config"] = apply_overrides(to_mapping(TrainConfig()), before["config"])
    binding = ("config", "data", "start", "features")
    different = [key for part in binding for key in differing_keys({part: before.get(part)}, {part: record[part]})]
    if different and not plan.force:
        raise UsageError(
            f"the run was started with other settings: {', '.join(different)}",
            path=plan.out,
            remedy=Remedy.FORCE,
        )
    for key in differing_keys(before["environment"], record["environment"]):
        listener.note(f"{key} is not what the run was started with: it goes on, but not to the same bits")
    if different:
        listener.note(f"going on with other settings: {', '.join(different)}")
    return not different


def claim(plan: RunPlan, record: dict[str, Any]) -> None:
    """Make the folder and write what the run hangs on."""
    plan.out.mkdir(parents=True, exist_ok=True)
    atomic_bytes(plan.out / "run.json", json.dumps(record, indent=1).encode(), overwrite=True)
