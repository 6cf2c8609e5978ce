"""Networks for other programs: the folded network as an ONNX, OpenVINO or TorchScript file, checked by running it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from derain_cli.engine.onnx_graph import PICTURES, onnx_graph
from derain_cli.engine.runtimes import Compiled, OnnxRuntime, OpenVino
from derain_cli.engine.torch_engine import TorchEngine
from derain_cli.errors import DestinationError, WeightsError
from derain_cli.model import SemiDRDNet
from derain_cli.model.architecture import COLOURS
from derain_cli.model.fold import FoldedSemiDRDNet, fold
from derain_cli.model.folding import Folded
from derain_cli.model.portable import layer_names
from derain_cli.model.traceable import PortableNetwork
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_file, sha256_of

__all__ = ["SUFFIXES", "ExportFormat", "Exported", "export"]

ExportFormat = Literal["onnx", "openvino", "torchscript"]

SUFFIXES: Mapping[ExportFormat, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml",),
    "torchscript": (".ts", ".pt"),
}
"""What names of files may end in; the first is the usual one."""

_SIZES = ((1, 64, 96), (2, 61, 83), (1, 5, 7))
"""Pictures, height and width of what files are tried on: multiples of the blocks and others."""

_MOST_OFF = 0.5 / 255
"""Rounding makes a hundredth of it."""


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        paths: all files, the one to open first.
        sha256: of each.
        inputs: name and shape of each input, float32 in [0, 1]; `n`, `height` and `width` are any.
        outputs: names; for TorchScript, which returns one tensor, the only one is the derained picture.
        difference: the largest to our own output, in levels of 255.
    """

    paths: tuple[Path, ...]
    sha256: tuple[str, ...]
    inputs: Mapping[str, tuple[int | str, ...]]
    outputs: tuple[str, ...]
    difference: float


def export(model: SemiDRDNet, form: ExportFormat, path: Path, *, about: str = "", overwrite: bool = False) -> Exported:
    """Write the folded network, in fp32 with dynamic batch, height and width, and see that the file gives what we give.

    Nothing has the name `path` before the file was run and compared.

    Args:
        model: the network.
        form: of the file; `openvino` writes a .bin beside the .xml.
        path: where to; ends in one of `SUFFIXES`.
        about: is put into the file as its description: where the weights come from, and their licence.
        overwrite: replace files that exist.

    Raises:
        UsageError: a package for it is not installed.
        WeightsError: the file gives other pictures than our engine.
        DestinationError: a file exists, or cannot be put there.
        ResourceError: the disk is full.
    """
    net = fold(model).cpu()
    targets = (path, path.with_suffix(".bin")) if form == "openvino" else (path,)
    for target in targets:
        if target.exists() and not overwrite:
            raise DestinationError("the destination exists", path=target, remedy=Remedy.REPLACE)
    if not path.parent.is_dir():
        raise DestinationError("there is no such folder", path=path.parent)
    with tempfile.TemporaryDirectory(prefix="derain-export-") as folder:
        draft = Path(folder) / f"draft{path.suffix}"
        run = _WRITERS[form](net.folded, draft, about)
        difference = _largest_difference(net, run, path)
        drafts = (draft, draft.with_suffix(".bin"))[: len(targets)]
        with ExitStack() as stack:
            for target, made in zip(targets, drafts, strict=True):
                stack.enter_context(atomic_file(target, overwrite=overwrite)).write_bytes(made.read_bytes())
    return Exported(
        paths=targets,
        sha256=tuple(sha256_of(target) for target in targets),
        inputs={PICTURES: ("n", COLOURS * net.config.frames, "height", "width")},
        outputs=("derained",) if form == "torchscript" else layer_names(net.folded),
        difference=difference * 255,
    )


Run = Callable[[Tensor], Sequence[Tensor]]
"""Pictures to layers by a file that was written, in the order of its outputs."""


def _by(compiled: Compiled) -> Run:
    return lambda pictures: [torch.from_numpy(layer) for layer in compiled({PICTURES: pictures.numpy()})]


def _write_onnx(net: Folded, path: Path, about: str) -> Run:
    path.write_bytes(onnx_graph(net, about=about))
    return _by(OnnxRuntime().compile(path.read_bytes()))


def _write_openvino(net: Folded, path: Path, about: str) -> Run:
    runtime = OpenVino()
    runtime.save(onnx_graph(net, about=about), path, about)
    return _by(runtime.compile(path))


def _write_torchscript(net: Folded, path: Path, about: str) -> Run:
    with warnings.catch_warnings():
        # PyTorch would rather have torch.export, whose files only PyTorch's Python reads.
        warnings.simplefilter("ignore")
        example = torch.rand(1, COLOURS * net.config.frames, *_SIZES[1][1:])
        traced = torch.jit.trace(PortableNetwork(net), example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(torch.jit.freeze(traced), str(path), _extra_files={"about.txt": about.encode()})
        script = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return lambda pictures: [script(pictures)]


_WRITERS: Mapping[ExportFormat, Callable[[Folded, Path, str], Run]] = {
    "onnx": _write_onnx,
    "openvino": _write_openvino,
    "torchscript": _write_torchscript,
}


@torch.inference_mode()
def _largest_difference(net: FoldedSemiDRDNet, run: Run, path: Path) -> float:
    """Between what a file gives and our own output, on pictures of noise.

    Raises:
        WeightsError: it is more than rounding.
    """
    ours = TorchEngine(net, torch.device("cpu"), torch.float32)
    generator, worst = torch.Generator().manual_seed(0), 0.0
    for count, height, width in _SIZES:
        rainy = torch.rand(count, COLOURS * net.config.frames, height, width, generator=generator)
        for found, right in zip(run(rainy), ours.run(rainy), strict=False):
            off = float((found - right).abs().max()) if found.shape == right.shape else float("inf")
            if not off <= _MOST_OFF:
                reason = f"the exported file gives other pictures: off by {off * 255:.3g} levels of 255"
                raise WeightsError(reason, path=path)
            worst = max(worst, off)
    return worst
