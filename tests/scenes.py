"""Scenes and clips for selecting frames: a textured moving scene, with or without streaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEIGHT", "WIDTH", "Scene", "scene", "write_clip"]

WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True)
class Scene:
    """What is seen.

    Attributes:
        seed: which texture.
        rain: streaks in each frame, elsewhere in each.
        speed: pixels per frame by which the scene moves sideways.
        brightness: mean level.
    """

    seed: int = 0
    rain: int = 0
    speed: float = 0.0
    brightness: float = 110.0


def scene(what: Scene, count: int) -> list[NDArray[np.uint8]]:
    """(HEIGHT, WIDTH, 3) frames with a little noise."""
    import cv2

    rng = np.random.default_rng(what.seed)
    wide = WIDTH + 200
    levels = np.zeros((HEIGHT, wide, 3), np.float32)
    for side, height in ((5, 16), (14, 30), (40, 45)):  # details of several sizes
        cells = rng.normal(0, height, (-(-HEIGHT // side), -(-wide // side), 3)).astype(np.float32)
        levels += cv2.resize(cells, (wide, HEIGHT), interpolation=cv2.INTER_NEAREST if side < 20 else cv2.INTER_CUBIC)
    levels = np.clip(what.brightness + levels * 0.7, 5, 230)
    frames = []
    for number in range(count):
        left = 20 + what.speed * number
        move = np.array([[1, 0, -left], [0, 1, 0]], np.float32)
        frame = cv2.warpAffine(levels, move, (WIDTH, HEIGHT)) + rng.normal(0, 1, (HEIGHT, WIDTH, 3))
        layer = np.zeros((HEIGHT, WIDTH), np.float32)
        for _ in range(what.rain):
            x, y, length = rng.integers(0, WIDTH), rng.integers(-10, HEIGHT), rng.integers(10, 22)
            cv2.line(layer, (int(x), int(y)), (int(x + length // 6), int(y + length)), 90.0, 1, cv2.LINE_AA)
        frames.append(np.clip(frame + layer[..., None], 0, 255).astype(np.uint8))
    return frames


def write_clip(path: Path | str, frames: Sequence[NDArray[np.uint8]], rate: int = 10) -> Path:
    """A lossless clip, for Matroska."""
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "bgr0"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
