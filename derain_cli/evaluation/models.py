"""The models to evaluate: our networks, baselines, and third-party networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.weight_file import load_weights, network
from derain_cli.engine.device import pick_device
from derain_cli.engine.restorer import Restorer
from derain_cli.evaluation.names import is_peer
from derain_cli.evaluation.options import BenchmarkOptions
from derain_cli.evaluation.peers import find_peer
from derain_cli.evaluation.turns import Picture
from derain_cli.model.architecture import count_parameters, macs_per_pixel

__all__ = ["EvaluatedModel", "open_model"]

_SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A network or baseline under evaluation: callable on a picture, with its metadata."""

    name: str
    kind: str
    about: str
    run: Callable[[Picture], Picture]
    device: str
    precision: str
    parameters: int | None
    macs_per_pixel: float | None
    sha256: str | None
    settings: Mapping[str, Any]
    hashes: tuple[str, ...] = ()

    def __call__(self, picture: Picture) -> Picture:
        return self.run(picture)

    def facts(self) -> dict[str, Any]:
        """The metadata, ready for JSON."""
        names = ("name", "kind", "about", "device", "precision", "parameters", "macs_per_pixel", "sha256")
        return {name: getattr(self, name) for name in names} | {"settings": dict(self.settings)}


def open_model(name: str, options: BenchmarkOptions) -> EvaluatedModel:
    """The network or baseline of this name.

    Raises:
        WeightsError: weights missing or damaged.
        UsageError: a third-party network cannot be found.
        ResourceError: the device is not available.
    """
    device = pick_device(options.restore.device)
    if is_peer(name):
        peer = find_peer(name, device, options.pad_multiple)
        return EvaluatedModel(
            name=peer.name,
            kind=peer.kind,
            about=peer.about,
            run=peer,
            device=str(peer.device),
            precision="fp32",
            parameters=peer.parameters,
            macs_per_pixel=peer.macs_per_pixel,
            sha256=peer.sha256,
            settings={"tile": 0, "pad_multiple": peer.pad_multiple},
        )
    weights = load_weights(find_weights(name))
    restorer = Restorer(network(weights), options.restore, weights.card)
    return EvaluatedModel(
        name=name,
        kind="derain",
        about=weights.card.summary or weights.card.name,
        run=restorer,
        device=str(restorer.device),
        precision=_SHORT[restorer.precision],
        parameters=count_parameters(weights.config),
        macs_per_pixel=macs_per_pixel(weights.config),
        sha256=weights.sha256,
        settings={"tile": options.restore.tile, "strength": options.restore.strength},
        hashes=weights.card.hashes,
    )
