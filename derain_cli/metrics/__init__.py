"""How good a picture is: PSNR and SSIM against the truth, NIQE and figures of change without it. No files."""

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
