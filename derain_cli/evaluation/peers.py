"""Models that ours are compared with: baselines and third-party networks.

They have the interface of `Restorer`, uint8 HxWx3 in and out, so that the same evaluation applies to all. Pictures are
processed whole, in fp32; tiles and strength do not apply.

Names in `baselines.BASELINES` are baselines. Other names are

`MODULE:NAME`  from the user's Python path (the current folder and PYTHONPATH). NAME is one of
           - a `torch.nn.Module`;
           - a function that takes one (N, 3, H, W) float tensor in [0, 1] and returns the same;
           - a class or function without required arguments, which is called once and returns one of the above.
           Optional attributes: `pad_multiple` (int), `parameters` (if a number), `macs_per_pixel`.
`FILE.pt`, `FILE.ts`  a TorchScript archive. It contains code, which is executed, so it must be named explicitly.
           Plain pickles (`torch.save`) are refused.
`FILE.onnx`  run by onnxruntime, with one float input (N, 3, H, W) and one output. Parameters and multiply-accumulates
           are counted if the onnx package is installed too.
"""

from __future__ import annotations

import importlib
import inspect
import math
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from derain_cli.engine.foreign import COUNT_SIDE, checked, failures, pad_to_multiple
from derain_cli.engine.onnx_engine import OnnxEngine
from derain_cli.engine.tensors import to_arrays, to_batch
from derain_cli.errors import UsageError, WeightsError
from derain_cli.evaluation.baselines import BASELINES
from derain_cli.evaluation.names import ONNX_SUFFIX, SCRIPT_SUFFIXES
from derain_cli.system.files import sha256_of

__all__ = ["Peer", "as_peer", "find_peer"]

Picture = NDArray[np.uint8]
Network = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Peer:
    """A baseline or third-party network with the interface of `Restorer`.

    Attributes:
        name: as given by the user.
        kind: `baseline`, `python`, `torchscript` or `onnx`.
        about: description or origin.
        run: uint8 HxWx3 -> the same.
        device: the device it runs on.
        parameters: number of weights, None if unknown.
        macs_per_pixel: multiply-accumulates of convolutions and matrix products, counted on a 64x64 picture.
        sha256: of the file, if there is one.
        pad_multiple: sides are padded to multiples of this (by reflection, right and bottom), and cropped again.
    """

    name: str
    kind: str
    about: str
    run: Callable[[Picture], Picture]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    parameters: int | None = None
    macs_per_pixel: float | None = None
    sha256: str | None = None
    pad_multiple: int = 1

    def __call__(self, picture: Picture) -> Picture:
        """The picture without rain.

        Raises:
            InputError: the network cannot process this picture, or does not return a picture of the same size.
            ResourceError: out of memory.
        """
        return self.run(picture)


def find_peer(name: str, device: torch.device, pad_multiple: int = 0) -> Peer:
    """The peer of this name, ready to use.

    Args:
        name: `input`, `median`, `guided`, `MODULE:NAME`, or a TorchScript or ONNX file.
        device: for torch networks.
        pad_multiple: pad sides to multiples of this; 0 means the network's `pad_multiple` attribute, or 1.

    Raises:
        UsageError: no such module or name, not callable, or onnxruntime is not installed.
        WeightsError: the file is missing, damaged, or of an unsupported kind.
    """
    if name in BASELINES:
        run, about = BASELINES[name]
        return Peer(name, "baseline", about, run, parameters=0)
    suffix = Path(name).suffix.lower()
    if suffix == ONNX_SUFFIX:
        return _onnx(name, pad_multiple)
    if suffix in SCRIPT_SUFFIXES:
        network: Any = _script(Path(name), device)
        return _torch_peer(name, "torchscript", network, device, pad_multiple, sha256_of(Path(name)))
    return _torch_peer(name, "python", _from_python(name), device, pad_multiple, None)


def as_peer(network: nn.Module, device: torch.device) -> Peer:
    """A peer from an existing network, (N, 3, H, W) in [0, 1] -> the same.

    The network is moved to `device` and put into evaluation mode; pass a copy of a network in training.
    """
    return _torch_peer(type(network).__name__, "python", network, device, 0, None)


# --- torch networks ---------------------------------------------------------------------------------------------------


def _torch_peer(
    name: str, kind: str, network: Any, device: torch.device, pad_multiple: int, sha256: str | None
) -> Peer:
    multiple = pad_multiple or _whole_number(getattr(network, "pad_multiple", 1), "pad_multiple", name)
    count = getattr(network, "parameters", None)
    if isinstance(network, nn.Module):
        network = network.to(device).eval()
        count = sum(p.numel() for p in network.parameters())
    macs = getattr(network, "macs_per_pixel", None)
    return Peer(
        name=name,
        kind=kind,
        about=f"{name}, pictures whole, fp32",
        run=lambda picture: _through(network, picture, device, multiple),
        device=device,
        parameters=count if isinstance(count, int) else None,
        macs_per_pixel=float(macs) if isinstance(macs, int | float) else _count_macs(network, device, multiple),
        sha256=sha256,
        pad_multiple=multiple,
    )


def _whole_number(value: Any, what: str, name: str) -> int:
    if isinstance(value, int) and value >= 1:
        return value
    raise UsageError(f"{what} of {name} must be a positive integer, not {value!r}")


@torch.inference_mode()
def _through(network: Network, picture: Picture, device: torch.device, multiple: int) -> Picture:
    rainy = to_batch([picture], device)
    with failures():
        restored = network(pad_to_multiple(rainy, multiple))
    # Copied, since the network may return one of its own tensors.
    derained: Picture = to_arrays(checked(restored, *picture.shape[:2]).clone(), picture.dtype)[0]
    return derained


def _count_macs(network: Network, device: torch.device, multiple: int) -> float | None:
    """Multiply-accumulates per pixel of convolutions and matrix products; None if torch cannot trace them."""
    from torch.utils.flop_counter import FlopCounterMode

    side = math.ceil(COUNT_SIDE / multiple) * multiple
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, side, side, device=device))
    except Exception:  # it will fail again on the first picture and be reported there
        return None
    flops = counter.get_total_flops()
    return flops / 2 / side**2 if flops else None


def _script(path: Path, device: torch.device) -> nn.Module:
    if not path.is_file():
        raise WeightsError("no such file", path=path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise WeightsError("not a TorchScript archive", path=path, hint="create one with torch.jit.save") from error
    # torch.save also writes an archive, but one without code.
    if not any("/code/" in name for name in names):
        raise WeightsError("not a TorchScript archive: pickles are not loaded", path=path, hint="use torch.jit.save")
    try:
        loaded: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise WeightsError(f"not a usable TorchScript archive: {first}", path=path) from error
    return loaded


def _from_python(name: str) -> Any:
    """The network that `MODULE:NAME` refers to; factories are called."""
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:  # `python -m` has the current folder on its path, an installed command does not
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, attribute)
        network = found() if not isinstance(found, nn.Module) and _is_factory(found) else found
    except AttributeError as error:
        if not hasattr(sys.modules.get(module_name), attribute):
            raise UsageError(f"no {attribute!r} in the module {module_name}") from error
        raise UsageError(f"{name} failed: {error}") from error
    except ModuleNotFoundError as error:
        hint = "modules are searched in the current folder and on PYTHONPATH"
        raise UsageError(f"cannot import {module_name}: {error}", hint=hint) from error
    except Exception as error:
        raise UsageError(f"{name} failed: {type(error).__name__}: {error}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not callable(network):
        raise UsageError(f"{name} is not a network: {type(network).__name__} is not callable")
    return network


def _is_factory(found: Any) -> bool:
    """Whether it is a class, or callable without arguments."""
    if not callable(found):
        return False
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return inspect.isclass(found)
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in parameters if p.default is inspect.Parameter.empty and p.kind not in fixed]
    return inspect.isclass(found) or not required


# --- ONNX -------------------------------------------------------------------------------------------------------------


def _onnx(name: str, pad_multiple: int) -> Peer:
    engine = OnnxEngine(Path(name), pad_multiple or 1)

    def run(picture: Picture) -> Picture:
        rainy = to_batch([picture], engine.device)
        derained: Picture = to_arrays(engine.run(rainy).derained, picture.dtype)[0]
        return derained

    return Peer(
        name=name,
        kind="onnx",
        about=f"{name}, pictures whole, fp32, onnxruntime {engine.version} on the CPU",
        run=run,
        parameters=engine.parameters,
        macs_per_pixel=engine.macs_per_pixel,
        sha256=engine.sha256,
        pad_multiple=engine.grid,
    )
