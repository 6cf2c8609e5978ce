"""What our networks are measured against: baselines, and other people's networks.

All of them are called as `Restorer` is, uint8 HxWx3 in and out, so that one evaluation scores everything. Pictures
are taken whole, in fp32; neither tiles nor strength apply.

Baselines, by the names of `baselines.BASELINES`, are peers too.

`MODULE:NAME`  from the user's own Python path (the current folder and PYTHONPATH). NAME is one of
           - a `torch.nn.Module`;
           - a function that takes one (N, 3, H, W) float tensor in [0, 1] and returns the same;
           - a class or a function without required arguments: it is called once and returns one of the two above.
           Attributes that are looked at: `pad_multiple` (int), `parameters` where it is a number, `macs_per_pixel`.
`FILE.pt`, `FILE.ts`  a TorchScript archive. It holds code, which runs: only for files that are named outright.
           Plain pickles (`torch.save`) are refused.
`FILE.onnx`  through onnxruntime, one float input (N, 3, H, W) and one output. Its parameters and multiply-accumulates
           are counted where the onnx package is installed too.
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

from derain_cli.engine.arrays import to_arrays, to_batch
from derain_cli.engine.foreign import COUNT_SIDE, checked, failures, pad_to_multiple
from derain_cli.engine.onnx_engine import OnnxEngine
from derain_cli.errors import UsageError, WeightsError
from derain_cli.evaluation.baselines import BASELINES
from derain_cli.evaluation.names import ONNX_SUFFIX, SCRIPT_SUFFIXES
from derain_cli.system.files import sha256_of

__all__ = ["Peer", "as_peer", "find_peer"]

Picture = NDArray[np.uint8]
Network = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Peer:
    """A baseline or a foreign network, called as a `Restorer` is.

    Attributes:
        name: as it was asked for.
        kind: `baseline`, `python`, `torchscript` or `onnx`.
        about: what it does, or where it came from.
        run: the work; uint8 HxWx3 -> the same.
        device: where it computes.
        parameters: number of weights, None where that cannot be known.
        macs_per_pixel: multiply-accumulates of convolutions and matrix products, counted on a picture of 64x64.
        sha256: of the file, if there is one.
        pad_multiple: sides are padded to multiples of this (reflected at the right and the bottom), and cut again.
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
            InputError: the network cannot take this picture, or gives something else than a picture of its size.
            ResourceError: out of memory.
        """
        return self.run(picture)


def find_peer(name: str, device: torch.device, pad_multiple: int = 0) -> Peer:
    """The peer of this name, ready to work.

    Args:
        name: `input`, `median`, `guided`, `MODULE:NAME`, or a TorchScript or ONNX file.
        device: where torch networks run.
        pad_multiple: pad sides to multiples of this; 0 asks the network's own `pad_multiple` attribute, else 1.

    Raises:
        UsageError: no such module or name, it is nothing that restores pictures, or onnxruntime is not installed.
        WeightsError: the file is missing, damaged, or of another kind.
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
    """A network at hand, from pictures to pictures: (N, 3, H, W) in [0, 1] -> the same.

    It is moved to `device` and put into evaluation mode; a network in training wants a copy made first.
    """
    return _torch_peer(type(network).__name__, "python", network, device, 0, None)


# --- networks of torch ------------------------------------------------------------------------------------------------


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
    raise UsageError(f"{what} of {name} must be a positive whole number, not {value!r}")


@torch.inference_mode()
def _through(network: Network, picture: Picture, device: torch.device, multiple: int) -> Picture:
    rainy = to_batch([picture], device)
    with failures():
        restored = network(pad_to_multiple(rainy, multiple))
    # A copy: the network may have returned a tensor of its own.
    derained: Picture = to_arrays(checked(restored, *picture.shape[:2]).clone(), picture.dtype)[0]
    return derained


def _count_macs(network: Network, device: torch.device, multiple: int) -> float | None:
    """Multiply-accumulates per pixel of convolutions and matrix products; None where torch cannot follow them."""
    from torch.utils.flop_counter import FlopCounterMode

    side = math.ceil(COUNT_SIDE / multiple) * multiple
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, side, side, device=device))
    except Exception:  # it will fail again on the first picture, and be told there
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
        raise WeightsError("not a TorchScript archive", path=path, hint="torch.jit.save makes one") from error
    # A pickle of torch.save is an archive too, but one without code.
    if not any("/code/" in name for name in names):
        raise WeightsError("not a TorchScript archive: pickles are not loaded", path=path, hint="torch.jit.save")
    try:
        loaded: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise WeightsError(f"not a usable TorchScript archive: {first}", path=path) from error
    return loaded


def _from_python(name: str) -> Any:
    """The network that `MODULE:NAME` stands for; a factory is called."""
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:  # `python -m` has the current folder on its path, an installed command has not
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
        hint = "it is looked for in the current folder and on PYTHONPATH"
        raise UsageError(f"cannot import {module_name}: {error}", hint=hint) from error
    except Exception as error:
        raise UsageError(f"{name} failed: {type(error).__name__}: {error}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not callable(network):
        raise UsageError(f"{name} is no network: {type(network).__name__} cannot be called")
    return network


def _is_factory(found: Any) -> bool:
    """Whether it can be called with nothing at all; what wants a picture cannot."""
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
