"""Recreate the pictures in `samples/`: generated rain on free photographs shipped with two Python packages.

    pip install scikit-image scikit-learn
    python scripts/make_samples.py [--out samples]

The same version of derain gives identical pixels. For sources and licences see samples/README.md.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.media.photo import EncodeOptions, Photo, write_photo
from derain_cli.rain import add_rain

QUALITY = 90


def package(name: str) -> Any:
    """Import a package that only this script needs."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(f"{error}: pip install scikit-image scikit-learn") from error


def pavilion() -> NDArray[np.uint8]:
    """CC BY 2.0, danielbuechele on Flickr."""
    return np.asarray(package("sklearn.datasets").load_sample_image("china.jpg"), np.uint8)


def launch_pad() -> NDArray[np.uint8]:
    """Public domain, SpaceX."""
    return np.asarray(package("skimage.data").rocket(), np.uint8)


@dataclass(frozen=True)
class Sample:
    """A picture to make. The seed was chosen by eye, for rain that is clearly visible and looks photographed."""

    name: str
    photo: Callable[[], NDArray[np.uint8]]
    profile: str
    seed: int


SAMPLES = (Sample("pavilion.jpg", pavilion, "real", 49), Sample("launch_pad.jpg", launch_pad, "light", 57))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "samples", help="folder to write to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        clean = sample.photo().astype(np.float32) / np.float32(255)
        rainy = add_rain(clean, sample.profile, np.random.default_rng(sample.seed)).rainy
        pixels = np.rint(rainy * np.float32(255)).astype(np.uint8)
        path = out / sample.name
        write_photo(Photo(pixels), path, options=EncodeOptions(quality=QUALITY), overwrite=True)
        print(f"{path}: {pixels.shape[1]}x{pixels.shape[0]}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
