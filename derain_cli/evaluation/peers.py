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

import hashlib
import importlib
import inspect
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from derain_cli.errors import DerainError, InputError, ResourceError, UsageError, WeightsError, resource_error_from
from derain_cli.evaluation.baselines import BASELINES
from derain_cli.evaluation.names import ONNX_SUFFIX, SCRIPT_SUFFIXES
from derain_cli.remedies import Remedy

__all__ = ["Peer", "as_peer", "find_peer"]

Picture = NDArray[np.uint8]
Network = Callable[[Tensor], Any]

_COUNT_SIDE = 64
_ONNX_HINT = "pip install onnxruntime"


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
        return _torch_peer(name, "torchscript", network, device, pad_multiple, _sha256(Path(name)))
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
    rainy = torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C")).to(device).float().div(255)[None]
    with _failures():
        restored = network(pad_to_multiple(rainy, multiple))
    return _checked(restored, picture.shape)


def _checked(restored: Any, shape: tuple[int, ...]) -> Picture:
    """(1, 3, >= H, >= W) in [0, 1] as a picture, cut to H x W.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(restored, Tensor):
        kind = type(restored).__name__
        raise InputError(f"the network gave a {kind}, not a tensor", hint="wrap it: module:function that returns one")
    height, width = shape[:2]
    if restored.ndim != 4 or restored.shape[:2] != (1, 3):
        raise InputError(f"the network gave {tuple(restored.shape)}, not (1, 3, {height}, {width})")
    if restored.shape[2] < height or restored.shape[3] < width:
        size = f"{restored.shape[3]}x{restored.shape[2]} for a picture of {width}x{height}"
        raise InputError(f"the network gave {size}", remedy=Remedy.PAD)
    restored = restored[0, :, :height, :width].float()
    if not bool(torch.isfinite(restored).all()):
        raise InputError("the network gave non-finite values")
    levels = (restored.clamp(0, 1) * 255).round().to(torch.uint8)
    cut: Picture = levels.permute(1, 2, 0).cpu().numpy()
    return cut


@contextmanager
def _failures() -> Iterator[None]:
    """What goes wrong in code that is not ours concerns the picture, unless memory ran out."""
    try:
        yield
    except DerainError:
        raise
    except Exception as error:
        text = str(error).strip()
        if isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in text or "allocate memory" in text:
            raise ResourceError("out of memory in the network", remedy=Remedy.USE_CPU_OR_SMALLER) from error
        full = resource_error_from(error)
        if full:
            raise full from error
        last = text.splitlines()[-1].strip() if text else ""
        raise InputError(f"the network failed: {type(error).__name__}: {last}", remedy=Remedy.PAD_MAYBE) from error


def pad_to_multiple(pictures: Tensor, multiple: int) -> Tensor:
    """(N, 3, H, W) with reflections at the right and the bottom, so that both sides are multiples.

    Where a picture is too small to be reflected its last row and column are repeated.
    """
    height, width = pictures.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not (down or right):
        return pictures
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(pictures, (0, right, 0, down), mode=mode)


def _count_macs(network: Network, device: torch.device, multiple: int) -> float | None:
    """Multiply-accumulates per pixel of convolutions and matrix products; None where torch cannot follow them."""
    from torch.utils.flop_counter import FlopCounterMode

    side = math.ceil(_COUNT_SIDE / multiple) * multiple
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, side, side, device=device))
    except Exception:  # it will fail again on the first picture, and be told there
        return None
    flops = counter.get_total_flops()
    return flops / 2 / side**2 if flops else None


def _script(path: Path, device: torch.device) -> nn.Module:
    _require_file(path)
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
    path = Path(name)
    _require_file(path)
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UsageError("ONNX files need onnxruntime, which is not installed", hint=_ONNX_HINT) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs, outputs = session.get_inputs(), session.get_outputs()
    except Exception as error:  # onnxruntime has exceptions of its own, by the dozen
        first = (str(error).strip().splitlines() or [""])[0]
        raise WeightsError(f"not a usable ONNX file: {first}", path=path) from error
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        wanted = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
        raise WeightsError(f"one float input (N, 3, H, W) is wanted, not {wanted}", path=path)
    multiple = pad_multiple or 1
    takes = inputs[0].shape[2:]  # a number, or a name where any will do
    graph = _onnx_graph(path, math.ceil(_COUNT_SIDE / multiple) * multiple)

    def run(picture: Picture) -> Picture:
        sides = [math.ceil(side / multiple) * multiple for side in picture.shape[:2]]
        if any(isinstance(want, int) and want != side for want, side in zip(takes, sides, strict=True)):
            size = "x".join(str(side) for side in reversed(takes))
            raise InputError(f"the network takes {size} only", hint="export it with dynamic height and width")
        rainy = torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C")).float().div(255)[None]
        with _failures():
            found = session.run([outputs[0].name], {inputs[0].name: pad_to_multiple(rainy, multiple).numpy()})
        return _checked(torch.from_numpy(np.array(found[0])), picture.shape)

    return Peer(
        name=name,
        kind="onnx",
        about=f"{name}, pictures whole, fp32, onnxruntime {runtime.__version__} on the CPU",
        run=run,
        parameters=None if graph is None else sum(math.prod(tensor.dims) for tensor in graph.initializer),
        macs_per_pixel=None if graph is None else _onnx_macs_per_pixel(graph),
        sha256=_sha256(path),
        pad_multiple=multiple,
    )


def _onnx_graph(path: Path, side: int) -> Any:
    """The file's graph with the shapes that it has for a picture of `side` x `side`, as far as they can be inferred.

    onnxruntime does not tell what is in a file; without the onnx package, None.
    """
    try:
        onnx = importlib.import_module("onnx")
        model = onnx.load(str(path))
        for place, length in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, side, side), strict=True):
            if not place.dim_value:
                place.dim_value = length
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # counts are a courtesy: the file runs without them
        return None


def _onnx_macs_per_pixel(graph: Any) -> float | None:
    """Multiply-accumulates per pixel of convolutions and matrix products; None where a shape is not known."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [place.dim_value for place in value.type.tensor_type.shape.dim]
    total = 0
    for node in graph.node:
        if node.op_type not in {"Conv", "ConvTranspose", "MatMul", "Gemm"}:
            continue
        first, second, out = (shapes.get(name) for name in (*node.input[:2], node.output[0]))
        if not (first and second and out and all((*first, *second, *out))):
            return None
        if node.op_type == "ConvTranspose":  # every value of the input meets the kernel of (in, out / groups, h, w)
            total += math.prod(first) * math.prod(second[1:])
        elif node.op_type == "Conv":  # every value of the output, the kernel of (out, in / groups, h, w)
            total += math.prod(out) * math.prod(second[1:])
        else:
            across = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            total += math.prod(out) * first[-2 if across else -1]
    _, _, height, width = shapes[graph.input[0].name]
    return total / (height * width) if total else None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise WeightsError("no such file", path=path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
