"""Published results, for comparison. They were not measured here, nor with our protocols.

Differences between protocols exceed those between good networks (1.3 to 1.6 dB between `rgb` and `y` alone), so every
entry says how it was measured, as far as its source does.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published", "published_for"]


@dataclass(frozen=True)
class Published:
    """A published result: data set, network, PSNR in dB, SSIM, source, and protocol."""

    dataset: str
    network: str
    psnr: float
    ssim: float
    source: str
    protocol: str


_PAPER = "Semi-DRDNet paper, table of synthetic sets"
_UNSTATED = "protocol unstated; the authors' older code: RGB PSNR, uniform 7x7 SSIM; trained on each set separately"
_CLEARVIEW = "clearview (dronefreak), model card"
_BLIND = "protocol of its own scripts; one network for all sets"

PUBLISHED: tuple[Published, ...] = (
    Published("Rain200L", "Semi-DRDNet", 40.66, 0.9885, _PAPER, _UNSTATED),
    Published("Rain200L", "Semi-DRDNet without DualSCRNet", 37.52, 0.9880, _PAPER, _UNSTATED),
    Published("Rain200H", "Semi-DRDNet", 31.32, 0.9240, _PAPER, _UNSTATED),
    Published("Rain200H", "Semi-DRDNet without DualSCRNet", 28.32, 0.9221, _PAPER, _UNSTATED),
    Published("Rain800", "Semi-DRDNet", 27.73, 0.9055, _PAPER, _UNSTATED),
    Published("Rain800", "Semi-DRDNet without DualSCRNet", 26.56, 0.9024, _PAPER, _UNSTATED),
    Published("Rain100L", "Restormer (clearview)", 36.04, 0.969, _CLEARVIEW, _BLIND),
    Published("Rain100H", "Restormer (clearview)", 27.78, 0.868, _CLEARVIEW, _BLIND),
    Published("Test100", "Restormer (clearview)", 28.65, 0.881, _CLEARVIEW, _BLIND),
)
"""In display order."""


def published_for(dataset: str) -> tuple[Published, ...]:
    """Published results for the test split of the data set of this name."""
    return tuple(entry for entry in PUBLISHED if entry.dataset == dataset)
