"""Turns a photograph into a clip: camera pan, zoom, rotation and shake, parallax, and a moving object.

For training multi-frame networks: every frame is known with and without rain (`MovingRain`).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.rain.draws import log_uniform, uniform

__all__ = ["MovingScene"]

Picture: TypeAlias = NDArray[np.uint8]
Image: TypeAlias = NDArray[np.float32]


class MovingScene:
    """Frames of one synthetic clip, in any order.

    Args:
        photo: (h, w, 3) uint8; mirrored beyond its edges.
        other: a second photo, part of which moves across the scene in some clips.
        height, width: of the frames, pixels.
        frames: planned length of the clip; motion is relative to its middle.
        rng: the only source of randomness; it is advanced.
    """

    def __init__(self, photo: Picture, other: Picture, height: int, width: int, frames: int, rng: np.random.Generator):
        self.photo, self.other, self.size, self.middle = photo, other, (height, width), (frames - 1) / 2
        still = rng.random() < 0.2
        speed = 0.0 if still else log_uniform(rng, (0.15, 9.0))
        # Dash cams and handheld cameras pan sideways more than up and down.
        direction = uniform(rng, (-0.4, 0.4)) + (math.pi if rng.random() < 0.5 else 0.0)
        direction += math.pi / 2 if rng.random() < 0.15 else 0.0
        self.velocity = np.array([speed * math.cos(direction), speed * math.sin(direction)])
        self.acceleration = 0.05 * speed * rng.standard_normal(2)
        self.zoom = 0.0 if still else float(rng.normal(0.0, 0.006))
        self.turn = 0.0 if still else float(rng.normal(0.0, 0.2))
        shake = 0.0 if rng.random() < 0.6 else log_uniform(rng, (0.15, 2.0))
        self.shake = shake * rng.standard_normal((frames, 2))
        self.scale = log_uniform(rng, (0.7, 1.4))
        slack = np.array([photo.shape[1], photo.shape[0]]) - np.array([width, height]) / self.scale
        self.centre = np.array([photo.shape[1], photo.shape[0]]) / 2 + slack * rng.uniform(-0.5, 0.5, 2)
        # Parallax: how much faster or slower than the average a part of the scene moves.
        self.relief = _smooth(height, width, rng) * np.float32(uniform(rng, (0.0, 0.6)) * (rng.random() < 0.6))
        self.thing = _Thing(other, height, width, rng) if rng.random() < 0.5 else None

    def frame(self, index: int) -> Image:
        """Frame `index`, from 0: (height, width, 3) float32 in [0, 1]."""
        height, width = self.size
        time = index - self.middle
        theta, scale = math.radians(self.turn * time), self.scale * (1 + self.zoom * time)
        moved = self.velocity * time + 0.5 * self.acceleration * time * time + self.shake[index % len(self.shake)]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        x = x - np.float32((width - 1) / 2) + np.float32(moved[0]) * (1 + self.relief)
        y = y - np.float32((height - 1) / 2) + np.float32(moved[1]) * (1 + self.relief)
        cos, sin = np.float32(math.cos(theta) / scale), np.float32(math.sin(theta) / scale)
        there_x = cos * x - sin * y + np.float32(self.centre[0])
        there_y = sin * x + cos * y + np.float32(self.centre[1])
        seen = cv2.remap(self.photo, there_x, there_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        picture = np.asarray(seen, np.float32) / np.float32(255)
        return picture if self.thing is None else self.thing.put_on(picture, time)


class _Thing:
    """A soft-edged piece of a photo that moves independently across the scene."""

    def __init__(self, photo: Picture, height: int, width: int, rng: np.random.Generator):
        side = min(height, width)
        tall, wide = (max(4, int(side * uniform(rng, (0.15, 0.7)))) for _ in range(2))
        tall, wide = min(tall, photo.shape[0]), min(wide, photo.shape[1])
        top, left = (int(rng.integers(0, n - m + 1)) for n, m in zip(photo.shape, (tall, wide), strict=False))
        self.cut = photo[top : top + tall, left : left + wide].astype(np.float32) / np.float32(255)
        rows = np.linspace(-1, 1, tall, dtype=np.float32)[:, None]
        columns = np.linspace(-1, 1, wide, dtype=np.float32)[None]
        power = uniform(rng, (2.0, 8.0))
        inside = 1 - (np.abs(rows) ** power + np.abs(columns) ** power)
        self.mask = np.clip(inside * np.float32(uniform(rng, (3.0, 20.0))), 0, 1)
        self.place = np.array([uniform(rng, (0.1, 0.9)) * width, uniform(rng, (0.1, 0.9)) * height])
        speed, direction = log_uniform(rng, (0.3, 10.0)), uniform(rng, (0.0, 2 * math.pi))
        self.velocity = speed * np.array([math.cos(direction), 0.4 * math.sin(direction)])

    def put_on(self, picture: Image, time: float) -> Image:
        height, width = picture.shape[:2]
        x, y = self.place + self.velocity * time - np.array(self.mask.shape[::-1]) / 2
        matrix = np.array([[1, 0, x], [0, 1, y]])
        mask = cv2.warpAffine(self.mask, matrix, (width, height)).reshape(height, width, 1)
        drawn = cv2.warpAffine(self.cut, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(picture + mask * (drawn - picture), np.float32)


def _smooth(height: int, width: int, rng: np.random.Generator) -> Image:
    """A smooth random field, (height, width), in [-1, 1]."""
    knots = rng.uniform(-1, 1, (4, 4)).astype(np.float32)
    field = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.asarray(field, np.float32).reshape(height, width), -1, 1)
