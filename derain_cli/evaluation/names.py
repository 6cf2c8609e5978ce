"""Classifies the names of networks. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from derain_cli.evaluation.baselines import BASELINES

__all__ = ["ONNX_SUFFIX", "SCRIPT_SUFFIXES", "is_peer"]

SCRIPT_SUFFIXES, ONNX_SUFFIX = frozenset({".pt", ".ts", ".torchscript"}), ".onnx"
_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_peer(name: str) -> bool:
    """Whether `peers.find_peer` handles this name; all other names are derain weights."""
    if name.startswith("hf:"):
        return False
    suffix = Path(name).suffix.lower()
    return name in BASELINES or suffix in SCRIPT_SUFFIXES or suffix == ONNX_SUFFIX or bool(_DOTTED.fullmatch(name))
