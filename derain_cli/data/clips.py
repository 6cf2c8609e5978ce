"""Training patches for multi-frame networks: synthetic clips made from photographs, with moving rain.

Generating a clip costs far more than training on one sample of it, so several samples are cut from each, with
different middle frames, positions and flips. Samples of one clip are far apart in the order of a run. Sample i is still
a pure function of (seed, i): a clip is regenerated when needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from derain_cli.config import ModelConfig
from derain_cli.data.augment import crop_box, flip, recoloured
from derain_cli.data.datasets import PictureCache, Sample
from derain_cli.errors import DerainError, UsageError
from derain_cli.motion.window import windows
from derain_cli.rain import MovingRain, MovingScene, Shower
from derain_cli.rain.lookalikes import plain

__all__ = ["DRY", "ClipPatches", "SyntheticClip", "coded", "disturbed", "in_other_colours", "make_clip"]

Picture = NDArray[np.uint8]

_MARGIN = 32
"""Pixels by which the frames of a clip exceed a patch, so that patches can be cut at different positions."""

_MIDDLES = 3
"""Frames of a clip that can be the middle of a sample."""

_USES = 9
"""Samples cut from each clip."""

_ROUND = 64
"""Clips that samples are cut from in turn: the distance between two samples of one clip."""

DRY = 0.1
"""Probability of a clip without rain."""

_PRISTINE = 0.4
"""Probability of a clip without noise and compression artefacts: there the last traces of rain count."""


_RECOLOURED = 0.25
"""Probability of a scene in unusual colours."""

_PLAIN = 0.1
"""Probability that one of the photos is replaced by flat colours, of the other scenes."""

_LACKING = 0.25
"""Probability of a sample without some neighbours, as at cuts and at the ends of a clip: one frame must do then."""

_ASTRAY = 0.1
"""Probability of a sample whose neighbours on one side are out of place, as after a jolt that no flow follows."""


class SyntheticClip:
    """Samples of one clip.

    Attributes:
        seen: for each middle frame, the rainy window around it, aligned to it, (H, W, 3*F) uint8.
        clean: the same frames without streaks, (H, W, 3) uint8.
    """

    def __init__(self, seen: list[Picture], clean: list[Picture]):
        self.seen, self.clean = seen, clean


def make_clip(
    photo: Picture,
    other: Picture,
    side: int,
    frames: int,
    middles: int,
    rng: np.random.Generator,
    dry: float = DRY,
) -> SyntheticClip:
    """A rainy clip made from a photograph, as windows around its middle frames.

    Args:
        photo, other: (h, w, 3) uint8; part of the other one may move across the scene.
        side: of the square frames, pixels.
        frames: F, the frames a network sees at once.
        middles: number of windows.
        rng: the only source of randomness; it is advanced.
        dry: probability of no rain.
    """
    count = frames - 1 + middles
    scene = MovingScene(photo, other, side, side, count, rng)
    shower, pristine = Shower.drawn(rng), rng.random() < _PRISTINE
    if pristine:
        shower = replace(shower, noise=0.0)
    rain = MovingRain(side, side, int(rng.integers(2**31)), shower)
    rainless = rng.random() < dry
    # Compression artefacts as in video, with and without rain, so that networks leave them alone.
    quality = None if pristine or rng.random() < 0.2 else int(rng.integers(45, 96))
    rainy, clean = [], []
    for index in range(count):
        sample = rain.frame(scene.frame(index), index)
        rainy.append(coded(sample.clean if rainless else sample.rainy, quality))
        clean.append(coded(sample.clean, quality))
    first = frames // 2
    seen = [window.astype(np.uint8, copy=False) for _, window in windows(enumerate(rainy), frames)]
    return SyntheticClip(seen[first : first + middles], clean[first : first + middles])


def in_other_colours(photo: Picture, other: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """The photos of a scene; now and then in unusual colours, or one of them replaced by flat colours."""
    if rng.random() < _RECOLOURED:
        return recoloured(photo, rng), recoloured(other, rng) if rng.random() < 0.5 else other
    if rng.random() < _PLAIN:
        flat: Picture = np.rint(plain(photo.shape[0], photo.shape[1], rng) * 255).astype(np.uint8)
        return (flat, other) if rng.random() < 0.5 else (photo, flat)
    return photo, other


def coded(frame: NDArray[np.float32], quality: int | None) -> Picture:
    """The frame as 8 bits, JPEG-compressed unless `quality` is None."""
    levels: Picture = np.rint(frame * 255).astype(np.uint8)
    if quality is None:
        return levels
    _, data = cv2.imencode(".jpg", levels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[:, :, ::-1])


def disturbed(window: Picture, rng: np.random.Generator) -> Picture:
    """Now and then a window that lacks neighbours, or whose neighbours on one side are out of place.

    Args:
        window: (H, W, 3*F); not modified.
        rng: the only source of randomness; it is advanced.
    """
    frames = [window[:, :, start : start + 3] for start in range(0, window.shape[2], 3)]
    reach = len(frames) // 2
    if rng.random() < _LACKING:
        before, after = divmod(int(rng.integers((reach + 1) ** 2 - 1)), reach + 1)  # not all of them
        present = range(reach - before, reach + after + 1)
        frames = [frame if place in present else frames[reach] for place, frame in enumerate(frames)]
    elif rng.random() < _ASTRAY / (1 - _LACKING):
        side = range(reach) if rng.random() < 0.5 else range(reach + 1, len(frames))
        move = tuple(int(each) for each in rng.integers(4, 41, 2) * rng.choice((-1, 1), 2))
        frames = [np.roll(frame, move, (0, 1)) if place in side else frame for place, frame in enumerate(frames)]
    else:
        return window
    return np.concatenate(frames, axis=2)


class ClipPatches(Dataset[Sample]):
    """Item i: F rainy frames and the clean one, (F + 1, 3, P, P) uint8; there are no real patches.

    Args:
        photos: without rain, at least two.
        model: of the network; its `frames` is F.
        patch: P.
        seed: determines each item together with its index.
        length: number of items in the run.

    Raises:
        UsageError: too few photos, or a single-frame network.
    """

    def __init__(self, photos: Sequence[Path], model: ModelConfig, patch: int, seed: int, length: int):
        if model.frames < 2:
            raise UsageError("clips are for multi-frame networks (model.frames)")
        if len(photos) < 2:
            raise UsageError("synthetic clips need at least two clean photos")
        self.photos, self.model, self.patch, self.seed, self.length = photos, model, patch, seed, length
        self.read = PictureCache()
        self._kept: OrderedDict[int, tuple[SyntheticClip, int]] = OrderedDict()

    def __len__(self) -> int:
        return self.length

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict()}

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        turn, place = divmod(index, _ROUND * _USES)
        clip, bad = self._clip(turn * _ROUND + place % _ROUND)
        rng = np.random.default_rng((self.seed, index, 1))
        middle = int(rng.integers(len(clip.seen)))
        seen = disturbed(clip.seen[middle], rng)
        both = np.concatenate([seen, clip.clean[middle]], axis=2)
        rows, columns = crop_box(both.shape[0], both.shape[1], self.patch, rng)
        (cut,) = flip([both[rows, columns]], rng)
        if rng.random() < 0.5:  # time reversal: rain rises but keeps its tilt
            frames = cut.reshape(self.patch, self.patch, -1, 3)
            cut = np.concatenate([frames[:, :, -2::-1], frames[:, :, -1:]], axis=2).reshape(cut.shape)
        pair = torch.from_numpy(np.ascontiguousarray(cut.transpose(2, 0, 1))).view(-1, 3, self.patch, self.patch)
        # Skipped files are counted once, not for every sample of their clip.
        return Sample(
            pair, torch.empty((0, 3, self.patch, self.patch), dtype=torch.uint8), bad if place < _ROUND else 0
        )

    def _clip(self, number: int) -> tuple[SyntheticClip, int]:
        """Clip `number`, and how many unreadable photos were skipped for it."""
        if number not in self._kept:
            while len(self._kept) >= _ROUND:
                self._kept.popitem(last=False)
            self._kept[number] = self._made(number)
        return self._kept[number]

    def _made(self, number: int) -> tuple[SyntheticClip, int]:
        bad = 0
        while True:
            rng = np.random.default_rng((self.seed, number, 0, bad))
            try:
                photo, other = (self.read(self.photos[int(rng.integers(len(self.photos)))]) for _ in range(2))
            except DerainError:
                bad += 1
                if bad > 20:
                    raise
                continue
            photo, other = in_other_colours(photo, other, rng)
            return make_clip(photo, other, self.patch + _MARGIN, self.model.frames, _MIDDLES, rng), bad
