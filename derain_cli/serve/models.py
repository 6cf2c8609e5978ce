"""Which weights the page offers, and the one restorer that is loaded."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derain_cli.checkpoints.find import find_weights, installed_models
from derain_cli.checkpoints.header import Head, read_head
from derain_cli.config import RestoreOptions
from derain_cli.errors import UsageError, WeightsError
from derain_cli.serve.entry import Kind, Settings

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer
    from derain_cli.serve.remembered import RememberedEngine

__all__ = ["Models", "Offer"]


@dataclass(frozen=True)
class Offer:
    """Weights that can be chosen.

    Attributes:
        name: as the page calls them.
        path: of the file.
        summary, licence, limits: what their card says.
        frames: of a clip that the network sees at once; 1: it is for photos too.
    """

    name: str
    path: Path
    summary: str
    licence: str
    limits: str
    frames: int

    def takes(self, kind: Kind) -> bool:
        """Whether it is for uploads of this kind."""
        return kind == "clip" or self.frames == 1

    def view(self) -> dict[str, Any]:
        """For the page."""
        words = {"summary": self.summary, "licence": self.licence, "limits": self.limits}
        return {"name": self.name, "photos": self.takes("photo"), **words}


@dataclass
class Models:
    """The weights that can be chosen; those used last are loaded.

    Attributes:
        offers: by name.
        first: name of those chosen at first.
        options: device, precision and tiles.
    """

    offers: dict[str, Offer]
    first: str
    options: RestoreOptions
    _loaded: tuple[str, Restorer, RememberedEngine] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def found(cls, wanted: str, options: RestoreOptions) -> Models:
        """The installed weights, and `wanted` (a name, a file, or `hf:ORG/REPO`), which is first.

        Raises:
            WeightsError: `wanted` is missing or no weight file.
        """
        installed, path = installed_models(), find_weights(wanted)
        head = read_head(path)
        first = next((name for name, each in installed.items() if each == path), None)
        offers = {}
        if first is None:
            first = head.card.name if head.card.name not in installed else f"{head.card.name} ({path.stem})"
            offers[first] = _offer(first, path, head)
        for name, each in installed.items():
            try:
                offers[name] = _offer(name, each, read_head(each))
            except WeightsError:
                if each == path:
                    raise
        return cls(offers, first, options)

    def checked(self, settings: Settings, kind: Kind) -> Settings:
        """The same settings.

        Raises:
            UsageError: there are no such weights, or they are not for this kind of upload.
        """
        offer = self.offers.get(settings.model)
        if offer is None:
            raise UsageError("there is no such model", hint="choose another one")
        if not offer.takes(kind):
            raise UsageError(
                f"{offer.name} sees {offer.frames} frames of a clip at once: it is not for photos",
                hint="choose another model",
            )
        return settings

    def restorer(self, settings: Settings, kind: Kind) -> Restorer:
        """What restores by these settings; loads the weights if others were used last.

        Raises:
            WeightsError: the weights are damaged.
            ResourceError: the device is not there.
        """
        from derain_cli.engine.restorer import Restorer
        from derain_cli.serve.remembered import RememberedEngine

        with self._lock:
            if self._loaded is None or self._loaded[0] != settings.model:
                self._loaded = None
                options = self.options
                plain = Restorer.from_pretrained(
                    self.offers[settings.model].path,
                    device=options.device,
                    precision=options.precision,
                    tile=options.tile,
                )
                self._loaded = settings.model, plain, RememberedEngine(plain.engine)
            _, plain, remembered = self._loaded
        engine = remembered if kind == "photo" else plain.engine
        return Restorer(engine, replace(self.options, strength=settings.strength), plain.card)


def _offer(name: str, path: Path, head: Head) -> Offer:
    card = head.card
    return Offer(name, path, card.summary, card.licence, card.limits, head.config.frames)
