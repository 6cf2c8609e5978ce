"""Choice of device and precision, and free device memory."""

from __future__ import annotations

from pathlib import Path

import torch

from derain_cli.errors import ResourceError
from derain_cli.remedies import Remedy
from derain_cli.system.memory import free_memory

__all__ = ["NO_MEMORY", "free_device_memory", "is_out_of_memory", "pick_device", "pick_precision"]

NO_MEMORY = "out of memory even with the smallest tiles"


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


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "can't allocate memory" in text or "out of memory" in text.lower()
