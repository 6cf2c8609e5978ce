"""Training and validation data of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from derain_cli.config import TrainConfig
from derain_cli.data.clips import make_clip
from derain_cli.data.datasets import Sources, check_sources, find_real
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.opening import open_dataset
from derain_cli.datasets.pairs import Pair, PairGroup, PairSet, list_photos
from derain_cli.errors import NothingToDoError, UsageError
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.media.pixels import Pixels
from derain_cli.motion.stacking import stacked
from derain_cli.rain import PROFILES, add_rain
from derain_cli.remedies import Remedy
from derain_cli.training.run.plan import Listener, RunPlan, SilentListener

__all__ = ["hold_back", "prepare"]


_HOLD_BACK_SHARE, _HOLD_BACK_MOST = 0.05, 40

_REAL_HELD, _REAL_LEAST = 10, 6
"""Every tenth real photo is held out of training, if there are at least six."""


def hold_back(groups: Sequence[PairGroup]) -> tuple[tuple[PairGroup, ...], tuple[PairGroup, ...]]:
    """Split pairs into training and validation; the latter are evenly spread, at most `_HOLD_BACK_MOST` per group."""
    training, held = [], []
    for group in groups:
        count = min(_HOLD_BACK_MOST, max(1, round(len(group.pairs) * _HOLD_BACK_SHARE)))
        if len(group.pairs) < 2:
            training.append(group)
            continue
        chosen = {len(group.pairs) * i // count for i in range(count)}
        training.append(PairGroup(group.name, tuple(p for i, p in enumerate(group.pairs) if i not in chosen)))
        held.append(PairGroup(group.name, tuple(p for i, p in enumerate(group.pairs) if i in chosen)))
    return tuple(training), tuple(held)


def _generated_pairs(folder: Path, photos: Sequence[Path], config: TrainConfig) -> tuple[PairGroup, ...]:
    """Validation pairs with generated rain for runs without any pairs, written to `folder` once."""
    for profile in PROFILES:
        for number, photo in enumerate(photos):
            target = folder / profile / "norain" / f"{number:03d}.png"
            if target.exists():
                continue
            picture = read_rgb(photo)[:512, :512].astype(np.float32) / np.float32(255)
            sample = add_rain(picture, profile, np.random.default_rng((config.loop.seed, number)))
            rainy, clean = (np.rint(pixels * 255).astype(np.uint8) for pixels in (sample.rainy, sample.clean))
            _write_pair(Pair(folder / profile / "rain" / target.name, target), rainy, clean)
    return find_pairs(folder).groups


def _write_pair(pair: Pair, rainy: Pixels, clean: Pixels) -> None:
    """Write both pictures, the clean one last: if it exists, the pair is complete."""
    for place, pixels in ((pair.rainy, rainy), (pair.clean, clean)):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_rgb(place, pixels)


_CLIPS, _CLIP_SIDE = 12, 192
"""Validation clips, and the side of their frames in pixels."""
_LEAST_PHOTOS = 4
"""Minimum for clips: two photos for training and two for validation."""


def _generated_clips(folder: Path, photos: Sequence[Path], config: TrainConfig) -> tuple[PairGroup, ...]:
    """Validation clips with generated rain, written to `folder` once, with the frames of each stacked vertically."""
    frames, pairs = config.model.frames, []
    for number in range(_CLIPS):
        name = f"{number:03d}.png"
        pair = Pair(folder / "clips" / "rain" / name, folder / "clips" / "norain" / name)
        pairs.append(pair)
        if pair.clean.exists():  # written last
            continue
        photo, other = (read_rgb(photos[place % len(photos)]) for place in (number, number + 1))
        rng = np.random.default_rng((config.loop.seed, number))
        clip = make_clip(photo, other, _CLIP_SIDE, frames, 1, rng, dry=0.0)
        _write_pair(pair, stacked(clip.seen[0]), clip.clean[0])
    return (PairGroup("clips", tuple(pairs)),)


def _prepare_clips(plan: RunPlan) -> tuple[Sources, tuple[PairGroup, ...]]:
    """Sources and validation clips for a multi-frame network, both made only from photos."""
    if plan.datasets or plan.layers or plan.real or plan.validation:
        raise UsageError("multi-frame networks train only on synthetic clips made from clean photos")
    photos = [photo for folder in plan.photos for photo in list_photos(folder)]
    if len(photos) < _LEAST_PHOTOS:
        raise NothingToDoError(f"synthetic clips need at least {_LEAST_PHOTOS} photos, not {len(photos)}")
    kept = photos[:: max(2, len(photos) // _CLIPS)][:_CLIPS]
    held = set(kept)
    sources = check_sources([], [], [photo for photo in photos if photo not in held], plan.config.data.patch)
    return sources, _generated_clips(plan.out / "validation", kept, plan.config)


def _pairs(item: Path | str, split: str, listener: Listener) -> PairSet:
    """The pairs of a folder or of a named data set."""
    if isinstance(item, Path) and not item.is_dir():
        raise NothingToDoError("no such folder", path=item)
    view = open_dataset(item, split)
    if not view.groups:
        raise NothingToDoError("no pairs found", path=item)
    for warning in view.warnings:
        listener.note(warning)
    return PairSet(view.groups, view.rejected)


def prepare(plan: RunPlan, listener: Listener | None = None) -> tuple[Sources, tuple[PairGroup, ...]]:
    """Training sources and validation groups of a run.

    Raises:
        NothingToDoError: a folder or data set is missing or empty.
        UsageError: there is nothing to train or validate on.
        TrainingError: too many files are unusable.
    """
    listener = listener or SilentListener()
    if plan.config.model.frames > 1:
        return _prepare_clips(plan)
    photos = [photo for folder in plan.photos for photo in list_photos(folder)]
    if plan.photos and not photos:
        raise NothingToDoError("no photos found", path=plan.photos[0])
    held: tuple[PairGroup, ...] = tuple(g for item in plan.validation for g in _pairs(item, "val", listener).groups)
    datasets = [_pairs(item, "train", listener) for item in plan.datasets]
    layers = [_pairs(item, "train", listener) for item in plan.layers]
    if not held and datasets:
        split = [hold_back(found.groups) for found in datasets]
        held = tuple(group for _, kept in split for group in kept)
        datasets = [PairSet(train, found.rejected) for (train, _), found in zip(split, datasets, strict=True)]
        hidden = {pair.clean.resolve() for group in held for pair in group.pairs}
        # Pairs that share a clean picture with a held-out pair would leak it.
        datasets = [_without(found, hidden) for found in datasets]
        layers = [_without(found, hidden) for found in layers]
    if not held and photos:
        count = max(1, min(8, len(photos) // 10))
        kept, photos = photos[:count], photos[count:] or photos
        folder = plan.out / "validation"
        # A resumable run has all of them; if resuming is refused later, none must have been added.
        whole = plan.resume and folder.is_dir()
        held = find_pairs(folder).groups if whole else _generated_pairs(folder, kept, plan.config)
    sources = check_sources(datasets, layers, photos, plan.config.data.patch)
    if plan.real:
        real, rejected = find_real(plan.real, plan.config.data.patch)
        chosen = real[::_REAL_HELD] if len(real) >= _REAL_LEAST else ()
        if not chosen:
            listener.note(f"only {len(real)} real photos: none are held out, the best weights are chosen on all")
        sources = replace(
            sources,
            real=tuple(photo for photo in real if photo not in set(chosen)),
            real_held=chosen or real,
            rejected=(*sources.rejected, *rejected),
        )
    if not held:
        raise UsageError("nothing to validate on", remedy=Remedy.NAME_PAIRS)
    return sources, held


def _without(found: PairSet, hidden: set[Path]) -> PairSet:
    groups = (PairGroup(g.name, tuple(p for p in g.pairs if p.clean.resolve() not in hidden)) for g in found.groups)
    return PairSet(tuple(g for g in groups if g.pairs), found.rejected)
