"""`derain info`: installed versions, devices, and the choices of `auto`."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from derain_cli.cli import options
from derain_cli.cli.console import print_data, print_json
from derain_cli.cli.flags import command_from_flags
from derain_cli.errors import printable
from derain_cli.system.provenance import versions

__all__ = ["info"]

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "av",
    "safetensors",
    "huggingface-hub",
    "typer",
    "rich",
    "pillow-heif",
    "tensorboard",
    "starlette",
    "uvicorn",
    "onnx",
    "onnxruntime",
    "openvino",
)


@command_from_flags(options.Answer)
def info(flags: options.Answer) -> int:
    """Show versions, devices, and what `auto` picks and why."""
    report = {
        "versions": versions(_PACKAGES),
        "machine": _machine(),
        "devices": _devices(),
        "models": _models(),
        "data": {"DERAIN_DATA": os.environ.get("DERAIN_DATA") or "not set, default ./datasets"},
    }
    if flags.json:
        print_json(report)
        return 0
    for title, values in report.items():
        print_data(title)
        for name, value in values.items():
            print_data(f"  {name:<24}{_in_words(value)}")
    return 0


def _machine() -> dict[str, Any]:
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "cores for this process": len(affinity(0)) if affinity else os.cpu_count(),
        "memory, GiB": _memory(),
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE"),
    }


def _memory() -> float | None:
    """Memory of the machine, or the limit of the container if lower, in GiB."""
    sizes = []
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (AttributeError, OSError, ValueError):
        pass  # not supported, no such limit, or "max"
    return round(min(sizes) / 2**30, 1) if sizes else None


def _devices() -> dict[str, Any]:
    """What torch reports. A torch that is missing or cannot be imported is shown, not treated as an error."""
    from derain_cli.engine.choice import has_torch
    from derain_cli.engine.processor import thread_count

    if not has_torch():
        return {
            "PyTorch": "not installed: photos and clips are restored by ONNX Runtime or OpenVINO on the processor",
            "threads": thread_count(),
        }
    try:
        import torch

        from derain_cli.engine.device import pick_device, pick_precision
    except Exception as error:
        return {"torch": f"cannot be imported: {str(error).strip().splitlines()[0] if str(error) else error!r}"}
    device = pick_device("auto")
    precision = pick_precision("auto", device)
    cpu_bf16 = pick_precision("auto", torch.device("cpu")) == torch.bfloat16
    cuda = [
        f"cuda:{i} {torch.cuda.get_device_name(i)}, {torch.cuda.get_device_properties(i).total_memory / 2**30:.0f} GiB"
        for i in range(torch.cuda.device_count())
    ]
    why = {
        "cuda": "CUDA is available",
        "mps": "no CUDA, but Apple's GPU is available",
        "cpu": "neither CUDA nor Apple's GPU is available",
    }
    fast = "the device supports" if precision == torch.bfloat16 else "the device does not support"
    return {
        "CPU threads of torch": torch.get_num_threads(),
        "CPU bf16 matrix units": cpu_bf16,
        "CUDA": cuda,
        "MPS": torch.backends.mps.is_available(),
        "auto picks device": device.type,
        "reason for device": why[device.type],
        "auto picks precision": str(precision).removeprefix("torch."),
        "reason for precision": f"{fast} bf16 in hardware",
    }


def _models() -> dict[str, Any]:
    try:
        from derain_cli.checkpoints.find import DEFAULT_CLIP_MODEL, DEFAULT_MODEL, installed_models
    except Exception:
        return {"installed": None}
    installed = installed_models()
    asked = os.environ.get("DERAIN_MODEL")
    return {
        "default": asked or DEFAULT_MODEL,
        "default for clips": asked or DEFAULT_CLIP_MODEL,
        "reason for default": "set by DERAIN_MODEL" if asked else "made for laptop CPUs",
        "installed": {name: str(path) for name, path in installed.items()},
    }


def _in_words(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} ({printable(path)})" for name, path in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return printable(str(value))
