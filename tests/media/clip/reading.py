"""Helpers to read, truncate and compare clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from derain_cli.media.clip.reader import ClipReader, Frame, open_clip

LONG: dict[str, Any] = {"frames": 50, "options": {"preset": "ultrafast", "g": "10"}}


def read(path: str | Path) -> tuple[list[Frame], ClipReader]:
    with open_clip(path) as reader:
        return list(reader), reader


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def difference(a: Any, b: Any) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
