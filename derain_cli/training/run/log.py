"""The log of a run: log.jsonl and TensorBoard, given the same records."""

from __future__ import annotations

import contextlib
import json
import time
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
    """log.jsonl and TensorBoard, told the same things."""

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

    def forget_after(self, step: int) -> None:
        """Drop what a killed run wrote past its last checkpoint: those steps will be done again."""
        if self.path.exists():
            kept = []
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be cut
                    # Before the first checkpoint nothing counts, not even what was measured before the first step.
                    if step and json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
            atomic_bytes(self.path, "".join(kept).encode(), overwrite=True)

    def close(self) -> None:
        """TensorBoard writes in the background: without this the end of a run is lost."""
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
        # Records of steps from `purge_step` on are dropped: those of the step that the checkpoint is of stay.
        log.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else 0)
    return log
