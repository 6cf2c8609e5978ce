"""Choice of device and precision, and free device memory."""

from __future__ import annotations

import torch

from derain_cli.engine.processor import cpu_precision
from derain_cli.errors import ResourceError
from derain_cli.remedies import Remedy
from derain_cli.system.memory import free_memory

__all__ = ["free_device_memory", "pick_device", "pick_precision"]


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


def pick_precision(asked: str, device: torch.device) -> torch.dtype:
    """The dtype the network computes in; `auto` is bf16 if the hardware supports it, otherwise fp32.

    `auto` never picks fp16, in which networks of this kind overflow.
    """
    if asked == "auto" and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    name = "float32" if asked == "auto" and device.type != "cpu" else cpu_precision(asked)
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def free_device_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # Memory that torch has reserved but does not use is available as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()
