"""What the processor computes in. Needs no torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cpu_precision", "thread_count"]

_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def cpu_precision(asked: str) -> str:
    """`float32`, `bfloat16` or `float16` for `fp32`, `bf16`, `fp16`; for `auto` bfloat16 if the processor has it."""
    if asked != "auto":
        return _NAMES[asked]
    return "bfloat16" if _cpu_has_bf16() else "float32"


def thread_count() -> int:
    """Threads to compute with: as many as torch has where it is loaded, else one for each processor of the process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_has_bf16() -> bool:
    # Emulated bf16 is slower than fp32, so AMX or AVX-512 instructions for it are required.
    return "amx_bf16" in _cpu_flags() or "avx512_bf16" in _cpu_flags()


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.split())
