"""Whether an accelerator that was asked for can be there at all, without torch, which takes seconds to load."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys

from derain_cli.errors import ResourceError
from derain_cli.remedies import Remedy

__all__ = ["refuse_missing_device"]


def refuse_missing_device(asked: str) -> None:
    """Raise where a device is certainly missing; what looks possible is left to torch to judge.

    Args:
        asked: auto, cpu, cuda, cuda:N or mps.

    Raises:
        ResourceError: the driver is not there, or has no such device.
    """
    if asked == "mps" and sys.platform != "darwin":
        raise ResourceError("no device mps on this machine", remedy=Remedy.OTHER_DEVICE)
    if asked.startswith("cuda"):
        found, number = _cuda_devices(), int(asked.partition(":")[2] or 0)
        if found is not None and number >= found:
            raise ResourceError(f"no device {asked}: {found} CUDA devices found", remedy=Remedy.OTHER_DEVICE)


def _cuda_devices() -> int | None:
    """How many NVIDIA's driver sees, CUDA_VISIBLE_DEVICES heeded; None where that is not known."""
    try:
        if "rocm" in importlib.metadata.version("torch"):  # AMD's devices go by the name of cuda there
            return None
    except importlib.metadata.PackageNotFoundError:
        return None
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
