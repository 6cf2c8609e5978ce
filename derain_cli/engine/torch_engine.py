"""Engine for our own networks: PyTorch on a CPU or a GPU."""

from __future__ import annotations

import copy
import functools
import hashlib

import numpy as np
import torch
from torch import Tensor, nn

from derain_cli.engine.device import free_device_memory
from derain_cli.engine.memory import AUTO_BYTES, pass_budget
from derain_cli.engine.own import finite_layers, tile_halo
from derain_cli.engine.protocol import Batches
from derain_cli.engine.tensors import to_batch
from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet
from derain_cli.model.fold import Gates, fold
from derain_cli.model.semi_drdnet import Layers

__all__ = ["AUTO_BYTES", "BATCH_LIMITS", "TorchEngine"]

BATCH_LIMITS = {
    # Measured (docs/performance.md): batching saves the overhead of a call, which is negligible for larger pictures.
    "cpu": Batches(largest=2**14, pixels=2**17, most=8, filled=False),
    # Not measured; small enough that a partial pass wastes little.
    "cuda": Batches(largest=2**16, pixels=2**18, most=32, filled=True),
}


class TorchEngine:
    """The folded network in a given precision; non-finite results are recomputed in float32.

    Args:
        model: the network, or its folded form.
        device: device to run on; the folded network is moved there.
        dtype: precision to compute in.

    Attributes:
        config: configuration of the network.
        net: the network in `dtype`.
        exact: the network in float32; the same object as `net` if `dtype` is float32.
    """

    name = "torch"

    def __init__(self, model: SemiDRDNet | FoldedSemiDRDNet, device: torch.device, dtype: torch.dtype):
        network = model if isinstance(model, FoldedSemiDRDNet) else fold(model)
        self.device, self.dtype = device, dtype
        self.config = network.config
        self.frames, self.grid, self.gated = self.config.frames, self.config.grid, self.config.se
        self.halo = tile_halo(self.config)
        self.exact = network.to(device)
        self.net = self.exact
        if dtype != torch.float32:
            self.net = copy.deepcopy(network).to(device, dtype)
        self.notes: list[str] = []

    @property
    def batches(self) -> Batches | None:
        """Which pictures share a pass; None processes one at a time."""
        return BATCH_LIMITS.get(self.device.type)

    @torch.inference_mode()
    def run(self, batch: Tensor, gates: Gates | None = None) -> Layers:
        """Layers of a batch; pictures that are not finite in half precision are recomputed in float32.

        Raises:
            InputError: results are not finite in float32 either.
        """

        def exactly(bad: Tensor) -> Layers:
            exact: Layers = self.exact(batch[bad], None if gates is None else [gate.float() for gate in gates])
            return exact

        def unfinite(layer: Tensor) -> Tensor:
            return ~torch.isfinite(layer).flatten(1).all(dim=1)

        precision = str(self.dtype).removeprefix("torch.")
        layers: Layers = finite_layers(self.net(batch, gates), unfinite, exactly, precision, self.notes)
        return layers

    @torch.inference_mode()
    def measure_gates(self, batch: Tensor) -> Gates | None:
        """One set of gates for all pictures of a batch together; None for a network without gates."""
        return self.net.measure_gates(batch)

    def pixels_at_once(self, held: int = 0) -> int:
        """How many pixels fit into one pass, estimated from free memory and the memory per pixel of the network.

        Args:
            held: bytes of the picture's own arrays.
        """
        on_cpu = self.device.type == "cpu"
        features = self.config.features_per_pixel
        # Feature maps alive at a time: measured on the CPU, where layers overwrite their input; about twice elsewhere.
        per_pixel = (3.2 if on_cpu else 6) * features * self.dtype.itemsize + 60
        budget = pass_budget(free_device_memory(self.device), held, bounded=on_cpu)
        # Some kernels use 32-bit indices: at most 2**31 values per map.
        return int(min(budget / per_pixel, (2**31 - 1) / max(features, 3)))

    @functools.cached_property
    def same_together(self) -> bool:
        """Whether results are bit-identical regardless of the other pictures in a pass, within `batches`.

        On a CPU this depends on the kernels of its libraries, so it is tried once, on pictures of noise.
        """
        if self.batches is None or self.batches.filled:
            return self.batches is not None
        noise = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3 * self.frames), np.uint8)
        with torch.inference_mode():
            rainy = to_batch(list(noise), self.device)
            alone = self.net(rainy[-1:], None).derained
            return torch.equal(self.net(rainy, None).derained[-1:], alone)

    def fingerprint(self) -> str:
        """SHA-256 of the weights in float32, number of threads, version of PyTorch."""
        return f"{_weights_digest(self.exact)} {torch.get_num_threads()} {torch.__version__}"

    def empty_cache(self) -> None:
        """Release memory that torch has reserved but does not use."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _weights_digest(net: nn.Module) -> str:
    """SHA-256 of names and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
