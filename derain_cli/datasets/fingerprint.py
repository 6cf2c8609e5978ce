"""Perceptual hashes of clean pictures, to detect test pictures that are in the training set of the weights.

The hash is the classic pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010):
luma, 32x32, DCT, the signs of the 8x8 lowest frequencies relative to their median. It is robust to JPEG, resizing and
small changes of tone, but not to cropping. Mirror images have different hashes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.datasets.pairs import Pair, read_clean
from derain_cli.errors import InputError
from derain_cli.media.photo import read_rgb

__all__ = ["MAX_DISTANCE", "MOST_HASHES", "KnownPictures", "bits_apart", "hash_files", "overlap", "picture_hash"]

MAX_DISTANCE = 6
"""Maximum Hamming distance (of 64 bits) between hashes of the same picture.

Measured on 576 photos: JPEG at quality 10, half and double size, gamma 0.8 and noise of 8 levels change 0 to 6 bits, a
border of 4 pixels 0 to 8. Of the 165,600 pairs of different photos the closest are 14 bits apart, except frames of the
same clip (2 and more); every 2 bits less are six times rarer.
"""

MOST_HASHES = 50_000
"""Maximum number of hashes per training set, evenly sampled: 0.8 MB on the card."""

_SIDE, _LOW = 32, 8
_BITS = np.array([number.bit_count() for number in range(256)], np.uint8)


def picture_hash(picture: NDArray[np.uint8]) -> str:
    """The 64-bit perceptual hash of a picture (uint8 HxWx3) as 16 hexadecimal digits."""
    luma = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(luma, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW].reshape(-1)
    # The first coefficient is the mean brightness, far larger than the others and uninformative.
    bits = low > np.median(low[1:])
    return np.packbits(bits).tobytes().hex()


def _clean(item: Pair | Path) -> NDArray[np.uint8]:
    return read_clean(item) if isinstance(item, Pair) else read_rgb(item)


def hash_files(pictures: Iterable[Pair | Path], *, most: int = MOST_HASHES, workers: int = 2) -> tuple[str, ...]:
    """Hashes of photos and of the clean pictures of pairs: each file once, sorted, without duplicates.

    Args:
        pictures: pairs (their clean picture is hashed) and photos. Unreadable ones are skipped: they cannot have been
            trained on.
        most: maximum number of hashes; larger sets are sampled evenly.
        workers: threads.
    """
    unique = list({(item.clean if isinstance(item, Pair) else item): item for item in pictures}.values())
    if len(unique) > most:
        unique = [unique[len(unique) * i // most] for i in range(most)]

    def one(item: Pair | Path) -> str | None:
        try:
            return picture_hash(_clean(item))
        except InputError:
            return None

    with ThreadPoolExecutor(max(1, workers)) as pool:
        return tuple(sorted({found for found in pool.map(one, unique) if found is not None}))


class KnownPictures:
    """The pictures of a training set, by their hashes.

    Args:
        hashes: from the model card (`Card.hashes`).
        distance: maximum number of differing bits.
    """

    def __init__(self, hashes: Sequence[str], distance: int = MAX_DISTANCE):
        self.distance = distance
        self._known = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 8)

    def __len__(self) -> int:
        return len(self._known)

    def holds(self, picture: NDArray[np.uint8]) -> bool:
        """Whether a clean picture (uint8 HxWx3) is one of them."""
        if not len(self):
            return False
        own = np.frombuffer(bytes.fromhex(picture_hash(picture)), np.uint8)
        return int(bits_apart(self._known, own).min()) <= self.distance


def overlap(
    hashes: Sequence[str], pictures: Sequence[Pair | Path], *, distance: int = MAX_DISTANCE
) -> tuple[Pair | Path, ...]:
    """Those of `pictures` whose clean picture is in the training set with these `hashes`.

    Args:
        hashes: of a training set, from the model card (`Card.hashes`).
        pictures: of the evaluation: pairs (their clean picture is compared) or photos; unreadable ones are skipped.
            If the pictures are in memory, use `KnownPictures.holds`.
        distance: maximum number of differing bits.
    """
    known = KnownPictures(hashes, distance)
    found = []
    for item in pictures if len(known) else ():
        with contextlib.suppress(InputError):
            if known.holds(_clean(item)):
                found.append(item)
    return tuple(found)


def bits_apart(hashes: NDArray[np.uint8], one: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Hamming distance of each of `hashes` (N, B) to `one` (B,), in bits: (N,)."""
    return np.asarray(_BITS[hashes ^ one].sum(axis=1, dtype=np.int64))
