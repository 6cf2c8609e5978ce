"""What the trials of reliability share: a tiny network, photos, figures of this process, a table."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.config import ModelConfig
from derain_cli.media.photo import write_rgb
from derain_cli.model import build


def tiny_weights(folder: Path) -> Path:
    """A weight file of an untrained network of 8 features and one block."""
    torch.manual_seed(0)
    path = folder / "tiny.safetensors"
    save_weights(path, build(ModelConfig(width=8, blocks=1)).eval(), Card(name="tiny"))
    return path


def photos(folder: Path, count: int, side: int) -> list[Path]:
    """`count` PNG files of noise, `side` pixels square."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:05d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        write_rgb(path, np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8))
    return paths


def resident_mb() -> float:
    """Resident memory of this process now, MB (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> int:
    """Number of open file descriptors of this process (Linux)."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def forked(work: Callable[[], int | None]) -> int:
    """Start `work` in a copy of this process, quietly, and return its process id; its result is the exit code."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = work() or 0
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a child process, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child: int) -> bool:
    """Kill a child with SIGKILL; False if it had already ended."""
    os.kill(child, signal.SIGKILL)
    return ended(child) == -signal.SIGKILL


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
