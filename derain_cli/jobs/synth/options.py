"""Options for making pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from derain_cli.config import DEFAULT_MAX_PIXELS
from derain_cli.errors import UsageError
from derain_cli.remedies import Remedy

__all__ = ["FORMATS", "SynthOptions"]

FORMATS: Mapping[str, bool] = {"png": True, "webp": True, "tiff": True, "jpg": False}
"""Formats of the pairs, and whether they are lossless."""


@dataclass(frozen=True)
class SynthOptions:
    """Options for making pairs.

    Attributes:
        profiles: kinds of rain, from `PROFILES`. A single one is written directly to the output folder, several to a
            subfolder each.
        variants: pairs per photo and profile.
        seed: random seed.
        target: the clean partner for the profile `real`: the photo with the same veil, exposure and noise
            (`streak-free`), or the photo itself (`clean`).
        format: from `FORMATS`.
        max_side: photos with a longer side, in pixels, are downscaled first; None keeps all sizes.
        max_pixels: larger photos are refused.
        jobs: number of photos processed at once.
        overwrite: replace existing pairs.

    Raises:
        UsageError: an unknown name, or a value out of range.
    """

    profiles: tuple[str, ...] = ("real",)
    variants: int = 1
    seed: int = 0
    target: Literal["streak-free", "clean"] = "streak-free"
    format: str = "png"
    max_side: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    jobs: int = 1
    overwrite: bool = False

    def __post_init__(self) -> None:
        from derain_cli.rain import PROFILES  # here, or help would wait for numpy

        for name in self.profiles:
            _require_known(name, PROFILES, "rain profile")
        if not self.profiles:
            raise UsageError("no rain profile", hint=f"choose from {', '.join(PROFILES)}")
        if len(set(self.profiles)) < len(self.profiles):
            raise UsageError("a rain profile is given twice", remedy=Remedy.MORE_VARIANTS)
        _require_known(self.target, ("streak-free", "clean"), "target")
        _require_known(self.format, FORMATS, "format of pairs")
        if self.max_side is not None and self.max_side < 1:
            raise UsageError(f"the longest side must be at least 1 pixel, not {self.max_side}")
        if self.variants < 1 or self.jobs < 1:
            raise UsageError("variants and jobs must be at least 1")

    @property
    def is_lossless(self) -> bool:
        """Whether the format is lossless."""
        return FORMATS[self.format]

    @property
    def has_groups(self) -> bool:
        """Whether each profile has its own folder."""
        return len(self.profiles) > 1

    def folder(self, out: Path, profile: str) -> Path:
        """The folder for the pairs of a profile."""
        return out / profile if self.has_groups else out

    def stems(self, name: str) -> tuple[str, ...]:
        """Names, without suffix, of all pairs of a photo in one profile; numbered if there are several."""
        return (name,) if self.variants == 1 else tuple(f"{name}-{number + 1}" for number in range(self.variants))


def _require_known(name: str, known: Mapping[str, Any] | Sequence[str], what: str) -> None:
    if name not in known:
        raise UsageError(f"unknown {what} {name!r}", hint=f"choose from {', '.join(known)}")
