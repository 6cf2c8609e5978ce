"""Training patches from pairs, true rain layers and generated rain, in any mixture.

Sample i of a run is a pure function of (seed, i): nothing depends on the order of access or the number of
loading processes, so a run can be resumed at any sample with bit-identical data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from derain_cli.config import DataConfig
from derain_cli.data.augment import crop_box, cut_warped, flip, orient, upright_detail
from derain_cli.datasets.pairs import Pair, PairGroup, PairSet, list_photos, read_clean, read_pair
from derain_cli.errors import DerainError, InputError, NothingToDoError, TrainingError, UsageError
from derain_cli.media.photo import probe_photo, read_rgb
from derain_cli.rain import add_rain
from derain_cli.rain.lookalikes import framed, lookalike, plain
from derain_cli.remedies import Remedy

__all__ = [
    "MAX_BAD_SHARE",
    "PictureCache",
    "Sample",
    "Sources",
    "TrainingPatches",
    "check_sources",
    "find_real",
    "read_pair",
]

MAX_BAD_SHARE = 0.05
"""Training stops if more than this share of its files is unusable."""

Picture = NDArray[np.uint8]


class PictureCache:
    """Decoded pictures by path, up to `budget` bytes; beyond that, pictures are decoded every time.

    Pickling drops the contents: a loading process starts with an empty cache.
    """

    def __init__(self, budget: int = 2 << 30):
        self.budget = budget
        self._kept: dict[Path, Picture] = {}
        self._bytes = 0

    def __call__(self, path: Path) -> Picture:
        kept = self._kept.get(path)
        if kept is not None:
            return kept
        picture = read_rgb(path)
        if self._bytes + picture.nbytes <= self.budget:
            self._kept[path] = picture
            self._bytes += picture.nbytes
        return picture

    def __getstate__(self) -> dict[str, Any]:
        return {"budget": self.budget, "_kept": {}, "_bytes": 0}


@dataclass(frozen=True)
class Sources:
    """Training data of a run.

    Attributes:
        pairs: groups of pairs used as they are.
        layers: groups of pairs whose rain layer (rainy minus clean) is added to other backgrounds.
        photos: photos without rain: backgrounds for true layers and generated rain.
        real: photos of real rain, without clean partners, from `find_real`.
        real_held: such photos held out of training, for choosing the best weights.
        rejected: unusable files, with the reason.
    """

    pairs: tuple[PairGroup, ...] = ()
    layers: tuple[PairGroup, ...] = ()
    photos: tuple[Path, ...] = ()
    real: tuple[Path, ...] = ()
    real_held: tuple[Path, ...] = ()
    rejected: tuple[InputError, ...] = field(default=())


class Sample(NamedTuple):
    """One sample of a run, uint8.

    Attributes:
        pair: (2, 3, P, P), rainy and clean.
        real: (1, 3, P, P), a patch of a photo of real rain, or (0, 3, P, P) in runs without such photos.
        bad: unreadable files skipped for the pair.
        bad_real: unreadable photos skipped for the real patch.
    """

    pair: Tensor
    real: Tensor
    bad: int = 0
    bad_real: int = 0


def _usable(item: Pair | Path, patch: int) -> InputError | None:
    """Why a pair or photo cannot be used for training, judged by file headers; None if it can."""
    halves = isinstance(item, Pair) and bool(item.halves)
    paths = [item] if isinstance(item, Path) else [item.rainy] if halves else [item.rainy, item.clean]
    try:
        sizes = [(info.width, info.height) for info in map(probe_photo, paths)]
    except InputError as error:
        return error
    if len(set(sizes)) > 1:
        texts = " and ".join(f"{w}x{h}" for w, h in sizes)
        return InputError(f"a pair of different sizes: {texts}", path=paths[0])
    width, height = sizes[0]
    if halves and width % 2:
        return InputError(f"a side-by-side picture must have an even width, not {width}", path=paths[0])
    width = width // 2 if halves else width
    if min(width, height) < patch:
        return InputError(
            f"{width}x{height} is smaller than the {patch}x{patch} patch", path=paths[0], remedy=Remedy.SMALLER_PATCH
        )
    return None


def check_sources(pairs: Sequence[PairSet], layers: Sequence[PairSet], photos: Sequence[Path], patch: int) -> Sources:
    """The usable files, judged by their headers.

    Raises:
        TrainingError: more than `MAX_BAD_SHARE` of the files are unusable.
        UsageError: there is nothing to train on.
    """
    rejected: list[InputError] = [error for found in (*pairs, *layers) for error in found.rejected]

    def keep(groups: Sequence[PairSet]) -> tuple[PairGroup, ...]:
        kept = []
        for group in (g for found in groups for g in found.groups):
            good = []
            for pair in group.pairs:
                problem = _usable(pair, patch)
                if problem is None:
                    good.append(pair)
                else:
                    rejected.append(problem)
            if good:
                kept.append(PairGroup(group.name, tuple(good)))
        return tuple(kept)

    good_pairs, good_layers, good_photos = keep(pairs), keep(layers), []
    for photo in photos:
        problem = _usable(photo, patch)
        if problem is None:
            good_photos.append(photo)
        else:
            rejected.append(problem)
    used = sum(len(g.pairs) for g in (*good_pairs, *good_layers)) + len(good_photos)
    if not used:
        first = f": {rejected[0]}" if rejected else ""
        raise UsageError(f"nothing to train on{first}", remedy=Remedy.NAME_DATA)
    if len(rejected) > MAX_BAD_SHARE * (used + len(rejected)):
        raise TrainingError(
            f"{len(rejected)} of {used + len(rejected)} training files are unusable, first: {rejected[0]}"
        )
    return Sources(good_pairs, good_layers, tuple(good_photos), rejected=tuple(rejected))


def find_real(places: Sequence[Path], patch: int) -> tuple[tuple[Path, ...], tuple[InputError, ...]]:
    """Usable photos of real rain, and the errors of the others.

    Unlike training pairs, any number of them may be unusable, since they come straight from people's cameras.

    Args:
        places: photos, folders of them, or folders with a `train` subfolder, which is then used alone.
        patch: side of the patches.

    Raises:
        NothingToDoError: there is no photo, or no usable one.
    """
    listed: list[Path] = []
    for place in places:
        folder = place / "train" if (place / "train").is_dir() else place
        listed += list_photos(folder) if folder.is_dir() else [folder]
    if not listed:
        raise NothingToDoError("no photos found", path=places[0] if places else None, remedy=Remedy.NAME_REAL)
    good: list[Path] = []
    rejected: list[InputError] = []
    readable = False
    for photo in dict.fromkeys(listed):
        problem = _usable(photo, patch)
        if problem is None and not readable:
            # A valid header is not enough: make sure that at least one photo decodes before training starts.
            try:
                read_rgb(photo)
                readable = True
            except InputError as error:
                problem = error
        if problem is None:
            good.append(photo)
        else:
            rejected.append(problem)
    if not good:
        count = "the only real photo" if len(rejected) == 1 else f"none of the {len(rejected)} real photos"
        verb = "cannot" if len(rejected) == 1 else "can"
        raise NothingToDoError(f"{count} {verb} be used, first: {rejected[0]}", remedy=Remedy.NAME_REAL)
    return tuple(good), tuple(rejected)


_REAL_STREAM = 1
"""Separates the random stream of real patches from that of pairs, which must not depend on real photos."""


class TrainingPatches(Dataset[Sample]):
    """Item i: rainy and clean patch, and a patch of a real photo if there are any (see `Sample`).

    Pictures are rounded to 8 bits, like those the network will be used on.

    Args:
        sources: from `check_sources`.
        config: shares and patch size.
        seed: determines each item together with its index.
        length: number of items in the run.

    Raises:
        UsageError: every share that has a source is zero.
    """

    def __init__(self, sources: Sources, config: DataConfig, seed: int, length: int):
        self.sources, self.config, self.seed, self.length = sources, config, seed, length
        self.read = PictureCache()
        self.backgrounds: list[Pair | Path] = list(sources.photos)
        self.backgrounds += [pair for group in sources.layers for pair in group.pairs]
        makers = [
            (config.pairs if sources.pairs else 0.0, self._from_pair),
            (config.layers if sources.layers else 0.0, self._from_layer),
            (config.generated if sources.photos else 0.0, self._from_generator),
        ]
        total = sum(share for share, _ in makers)
        if total <= 0:
            raise UsageError(
                "every share of the training mixture is zero", hint="data.pairs, data.layers, data.generated"
            )
        self.makers = [(share / total, make) for share, make in makers if share > 0]
        weights = {"light": config.light, "heavy": config.heavy, "real": config.real}
        self.profiles = list(weights)
        self.profile_shares = np.array(list(weights.values())) / sum(weights.values())

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        pair, bad = self._readable_pair(index)
        real, bad_real = self._real_patch(index)
        return Sample(pair, real, bad, bad_real)

    def _real_patch(self, index: int) -> tuple[Tensor, int]:
        """A flipped crop of a random real photo, and the number of unreadable photos tried before it."""
        photos, patch = self.sources.real, self.config.patch
        if not photos:
            return torch.empty((0, 3, patch, patch), dtype=torch.uint8), 0
        rng = np.random.default_rng((self.seed, index, 0, _REAL_STREAM))
        last: DerainError | None = None
        for bad, place in enumerate(rng.permutation(len(photos))):
            try:
                (cut,) = flip([self._cut(self.read(photos[int(place)]), rng)], rng)
            except DerainError as error:
                last = error
                continue
            return torch.from_numpy(np.ascontiguousarray(cut.transpose(2, 0, 1)))[None], bad
        raise NothingToDoError("none of the real photos can be read any more", hint=str(last))

    def _readable_pair(self, index: int) -> tuple[Tensor, int]:
        bad = 0
        while True:
            # If a file turns out to be damaged, the sample is drawn again.
            rng = np.random.default_rng((self.seed, index, bad))
            try:
                rainy, clean = self._draw(rng)
            except DerainError:
                bad += 1
                if bad > 20:
                    raise
                continue
            stacked = np.stack([rainy, clean]).transpose(0, 3, 1, 2)
            return torch.from_numpy(np.ascontiguousarray(stacked)), bad

    def _draw(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        if rng.random() < self.config.clean_share:
            patch = self._dry(rng)
            return patch, patch
        chance = rng.random()
        for share, make in self.makers[:-1]:
            if chance < share:
                return make(rng)
            chance -= share
        return self.makers[-1][1](rng)

    def _cut(self, picture: Picture, rng: np.random.Generator) -> Picture:
        rows, columns = crop_box(picture.shape[0], picture.shape[1], self.config.patch, rng)
        return picture[rows, columns]

    def _photo(
        self,
        rng: np.random.Generator,
        cut: Callable[[Picture, np.random.Generator], Picture],
        among: Sequence[Pair | Path] = (),
    ) -> Picture:
        """A patch of a photo without rain, from `among` or else from all of them."""
        sources = among or self.backgrounds or [pair for group in self.sources.pairs for pair in group.pairs]
        source = sources[int(rng.integers(len(sources)))]
        picture = read_clean(source, self.read) if isinstance(source, Pair) else self.read(source)
        return orient(cut(picture, rng), rng)

    def _background(self, rng: np.random.Generator, among: Sequence[Pair | Path] = ()) -> Picture:
        """A background for rain: a patch of one of the photos `among`, or else of all of them."""
        patch = self._photo(rng, self._turned, among)
        if self.config.lookalikes and rng.random() < self.config.lookalikes:
            return _to_uint8(lookalike(self._behind(patch, rng), rng))
        return patch

    def _turned(self, picture: Picture, rng: np.random.Generator) -> Picture:
        if self.config.warped and rng.random() < self.config.warped:
            return cut_warped(picture, self.config.patch, rng)
        return self._cut(picture, rng)

    def _dry(self, rng: np.random.Generator) -> Picture:
        """A patch that must stay unchanged."""
        chance = rng.random()
        if chance < 0.4:
            return self._photo(rng, self._upright)
        if chance < 0.8:
            return _to_uint8(lookalike(self._behind(self._photo(rng, self._turned), rng), rng))
        if chance < 0.9:
            return _to_uint8(plain(self.config.patch, self.config.patch, rng))
        return _to_uint8(framed(_to_float(self._photo(rng, self._turned)), rng))

    def _upright(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """A random crop, or (half of the time) the one of three with the most vertical detail."""
        if rng.random() < 0.5:
            return self._turned(picture, rng)
        crops = [self._turned(picture, rng) for _ in range(3)]
        return max(crops, key=upright_detail)

    def _behind(self, patch: Picture, rng: np.random.Generator) -> NDArray[np.float32]:
        """Background of a lookalike: the photo, the photo strongly blurred, or a plain colour."""
        chance = rng.random()
        if chance < 0.6:
            return _to_float(patch)
        if chance < 0.85:
            return np.asarray(cv2.GaussianBlur(_to_float(patch), (0, 0), float(rng.uniform(2, 12))), np.float32)
        return plain(self.config.patch, self.config.patch, rng)

    def _pair(self, groups: Sequence[PairGroup], rng: np.random.Generator) -> tuple[Picture, Picture]:
        # Groups are equally likely, whatever their size, so that light and heavy sets count the same.
        group = groups[int(rng.integers(len(groups)))]
        rainy, clean = read_pair(group.pairs[int(rng.integers(len(group.pairs)))], self.read)
        rows, columns = crop_box(rainy.shape[0], rainy.shape[1], self.config.patch, rng)
        rainy, clean = flip([rainy[rows, columns], clean[rows, columns]], rng)
        return rainy, clean

    def _from_pair(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        return self._pair(self.sources.pairs, rng)

    def _from_layer(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        rainy, clean = self._pair(self.sources.layers, rng)
        layer = np.clip(rainy.astype(np.int16) - clean, 0, 255)
        background = self._background(rng)
        return np.clip(background + layer, 0, 255).astype(np.uint8), background

    def _from_generator(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        patch = self._background(rng, self.sources.photos)
        profile = self.profiles[int(rng.choice(len(self.profiles), p=self.profile_shares))]
        sample = add_rain(_to_float(patch), profile, rng)
        return _to_uint8(sample.rainy), _to_uint8(sample.clean)


def _to_float(picture: Picture) -> NDArray[np.float32]:
    return picture.astype(np.float32) / np.float32(255)


def _to_uint8(picture: NDArray[np.float32]) -> Picture:
    rounded: Picture = np.rint(picture * 255).astype(np.uint8)
    return rounded
