"""Image quality: PSNR and SSIM against ground truth; NIQE and figures of change without it. No file access."""

from derain_cli.metrics.psnr_ssim import (
    DEFINITIONS,
    IDENTICAL_PSNR,
    PROTOCOLS,
    Protocol,
    Score,
    luma,
    psnr,
    quantise,
    score,
    score_levels,
    ssim,
)

__all__ = [
    "DEFINITIONS",
    "IDENTICAL_PSNR",
    "PROTOCOLS",
    "Protocol",
    "Score",
    "luma",
    "psnr",
    "quantise",
    "score",
    "score_levels",
    "ssim",
]
