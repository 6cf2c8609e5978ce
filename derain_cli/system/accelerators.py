"""Checks whether a requested accelerator can exist, without torch, which takes seconds to load."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys

from derain_cli.errors import ResourceError
from derain_cli.remedies import Remedy

__all__ = ["refuse_missing_device"]


def refuse_missing_device(asked: str) -> None:
    """Raise if a device is certainly missing; otherwise torch decides.

    Args:
        asked: auto, cpu, cuda, cuda:N or mps.

    Raises:
        ResourceError: the driver is missing, or has no such device.
    """
    if asked == "mps" and sys.platform != "darwin":
        raise ResourceError("no device mps on this machine", remedy=Remedy.OTHER_DEVICE)
    if asked.startswith("cuda"):
        found, number = _cuda_devices(), int(asked.partition(":")[2] or 0)
        if found is not None and number >= found:
            raise ResourceError(f"no device {asked}: CUDA devices found: {found}", remedy=Remedy.OTHER_DEVICE)


def _cuda_devices() -> int | None:
    """Number of devices NVIDIA's driver reports, respecting CUDA_VISIBLE_DEVICES; None if unknown."""
    try:
        if "rocm" in importlib.metadata.version("torch"):  # AMD devices are called cuda there
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
