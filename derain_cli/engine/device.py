"""Choice of device and precision, and free device memory."""

from __future__ import annotations

from pathlib import Path

import torch

from derain_cli.errors import ResourceError
from derain_cli.remedies import Remedy
from derain_cli.system.memory import free_memory

__all__ = [
    "AUTO_BYTES",
    "NO_MEMORY",
    "free_device_memory",
    "is_out_of_memory",
    "pass_budget",
    "pick_device",
    "pick_precision",
]

AUTO_BYTES = 2**31
"""Most bytes for one pass and a picture's arrays on a CPU when tiles are chosen automatically, or half of the free
memory if that is less. Larger tiles are hardly faster."""

NO_MEMORY = "out of memory even with the smallest tiles"

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "bad allocation", "failed to allocate memory")
"""Of PyTorch, of C++ libraries, of ONNX Runtime; lower case."""


def pick_device(asked: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        ResourceError: the requested device is not available.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(asked)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ResourceError(f"no device {asked}: {found} CUDA devices found", remedy=Remedy.OTHER_DEVICE)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("no device mps on this machine", remedy=Remedy.OTHER_DEVICE)
    return device


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


def pick_precision(asked: str, device: torch.device) -> torch.dtype:
    """The dtype the network computes in; `auto` is bf16 if the hardware supports it, otherwise fp32.

    `auto` never picks fp16, in which networks of this kind overflow.
    """
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if asked != "auto":
        return named[asked]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bf16() else torch.float32


def free_device_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # Memory that torch has reserved but does not use is available as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()


def pass_budget(free: int | None, held: int, *, bounded: bool) -> int:
    """Bytes that one pass through a network may take.

    Args:
        free: bytes of free memory; None if unknown.
        held: bytes of the picture's own arrays.
        bounded: whether `AUTO_BYTES` is the limit, as on a CPU.
    """
    budget = AUTO_BYTES if free is None else free // 2
    # The larger the picture, the less is left for its tiles: they need not be large.
    return min(budget, max(AUTO_BYTES - held, AUTO_BYTES // 4)) if bounded else budget


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY)
