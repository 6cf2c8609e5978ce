"""Clips in the formats checked for holes, and holes to put into them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from derain_cli.media.clip.reader import ClipReader, open_clip
from tests.sample_clips import write_clip

MS = Fraction(1, 1000)


TICK = Fraction(1, 90000)


H264: dict[str, str] = {"preset": "ultrafast", "g": "10", "bf": "2"}


VP9: dict[str, str] = {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime", "g": "20"}


def uneven(base: Fraction, frames: int = 60) -> list[int]:
    """Timestamps of a clip with a variable rate: 10 to 120 ms apart."""
    steps = np.random.default_rng(5).integers(int(0.01 / base), int(0.12 / base), frames)
    return [int(pts) for pts in np.cumsum(steps)]


def thinned(base: Fraction, frames: int = 60) -> list[int]:
    """Timestamps at a constant rate with unchanged frames omitted on purpose."""
    places = sorted(np.random.default_rng(6).choice(3 * frames, frames, replace=False).tolist())
    return [round(place / (25 * base)) for place in places]


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "matroska": ("mkv", {"time_base": MS}),
    "matroska, with sound, short clusters": (
        "mkv",
        {"time_base": MS, "audio": ["aac"], "container": {"cluster_time_limit": "300"}},
    ),
    "matroska, 29.97 frames": ("mkv", {"time_base": MS, "pts": [round(n * 1001 / 30) for n in range(60)]}),
    "matroska, index in front": ("mkv", {"time_base": MS, "container": {"cues_to_front": "1"}}),
    "webm": ("webm", {"time_base": MS, "codec": "libvpx-vp9", "options": VP9}),
    "transport stream": ("ts", {"time_base": TICK}),
    "transport stream, with sound": ("ts", {"time_base": TICK, "audio": ["aac"]}),
    "transport stream of a camcorder": ("m2ts", {"time_base": TICK, "audio": ["ac3"]}),
}


VARIABLE: dict[str, tuple[str, dict[str, Any]]] = {
    f"{suffix}, {name}": (suffix, {"time_base": base, "pts": times(base), "options": H264 | {"bf": "0"}})
    for suffix, base in (("mkv", MS), ("ts", TICK))
    for name, times in (("variable rate", uneven), ("frames left out", thinned))
}


def make(folder: Path, kind: str) -> Path:
    suffix, changes = (KINDS | VARIABLE)[kind]
    return write_clip(folder / f"a.{suffix}", **({"frames": 60, "width": 96, "height": 64, "options": H264} | changes))


def read(path: Path) -> tuple[list[int], ClipReader]:
    with open_clip(path) as reader:
        return [frame.pts for frame in reader], reader


def sound(path: Path) -> None:
    """Nothing is reported."""
    _, reader = read(path)
    assert reader.warnings == [] and not reader.incomplete


HOLES: dict[str, Callable[[bytes, int, int, np.random.Generator], bytes]] = {
    "zeros": lambda data, at, size, rng: data[:at] + bytes(size) + data[at + size :],
    "noise": lambda data, at, size, rng: data[:at] + rng.bytes(size) + data[at + size :],
    "cut out": lambda data, at, size, rng: data[:at] + data[at + size :],
}
