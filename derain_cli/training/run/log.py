"""The log of a run: the same records in log.jsonl and TensorBoard."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.system.files import atomic_bytes
from derain_cli.training.run.plan import Listener

__all__ = ["RunLog", "open_log"]


@dataclass
class RunLog:
    """Writes records to log.jsonl and TensorBoard."""

    path: Path
    board: Any = None
    started: float = field(default_factory=time.time)

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        record = {"kind": kind, "step": step, "time": round(time.time(), 1), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, step: int, picture: NDArray[np.uint8]) -> None:
        if self.board is not None:
            self.board.add_image(name, picture, step, dataformats="HWC")

    def records(self) -> Iterator[dict[str, Any]]:
        """All records so far, including those from before the run was resumed."""
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict):
                    yield record

    def forget_after(self, step: int) -> None:
        """Drop records after the last checkpoint of a killed run: those steps will be repeated."""
        if self.path.exists():
            kept = []
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be truncated
                    # Without a checkpoint (step 0) everything is dropped, even the validation before the first step.
                    if step and json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
            atomic_bytes(self.path, "".join(kept).encode(), overwrite=True)

    def close(self) -> None:
        """Flush TensorBoard, which writes in the background: without this the end of a run is lost."""
        if self.board is not None:
            self.board.close()


def open_log(folder: Path, listener: Listener, step: int) -> RunLog:
    log = RunLog(folder / "log.jsonl")
    log.forget_after(step)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        listener.note("TensorBoard is not installed (pip install tensorboard); log.jsonl has everything")
    else:
        # Drops records from `purge_step` on; those of the checkpoint's own step stay.
        log.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else 0)
    return log
