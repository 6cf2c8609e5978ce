"""The models that the page offers, and the one that is loaded."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derain_cli.checkpoints.find import DEFAULT_CLIP_MODEL, DEFAULT_MODEL, find_weights, installed_models
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
    """A model that can be chosen.

    Attributes:
        name: shown on the page.
        path: of the weight file.
        summary, licence, limits: from the model card.
        frames: number of input frames; 1 for networks that also process photos.
    """

    name: str
    path: Path
    summary: str
    licence: str
    limits: str
    frames: int

    def takes(self, kind: Kind) -> bool:
        """Whether it can process uploads of this kind."""
        return kind == "clip" or self.frames == 1

    def view(self) -> dict[str, Any]:
        """For the page."""
        words = {"summary": self.summary, "licence": self.licence, "limits": self.limits}
        return {"name": self.name, "photos": self.takes("photo"), **words}


@dataclass
class Models:
    """The models that can be chosen; the one used last stays loaded.

    Attributes:
        offers: by name.
        first: name of the default one.
        options: device, precision and tiles.
    """

    offers: dict[str, Offer]
    first: str
    options: RestoreOptions
    _loaded: tuple[str, Restorer, RememberedEngine] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def found(cls, wanted: str, options: RestoreOptions) -> Models:
        """The installed models, with `wanted` (a name, a file, or `owner/name` on the Hub) as the default.

        Raises:
            WeightsError: `wanted` is missing or not a weight file.
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

    @property
    def first_for_clips(self) -> str:
        """Name of the default for clips: as for `derain video`, unless another model was asked for."""
        is_usual = self.first == DEFAULT_MODEL and DEFAULT_CLIP_MODEL in self.offers
        return DEFAULT_CLIP_MODEL if is_usual else self.first

    def checked(self, settings: Settings, kind: Kind) -> Settings:
        """The settings unchanged.

        Raises:
            UsageError: the model is unknown, or cannot process this kind of upload.
        """
        offer = self.offers.get(settings.model)
        if offer is None:
            raise UsageError("unknown model", hint="choose another one")
        if not offer.takes(kind):
            raise UsageError(
                f"{offer.name} needs {offer.frames} frames of a clip and cannot process photos",
                hint="choose another model",
            )
        return settings

    def restorer(self, settings: Settings, kind: Kind) -> Restorer:
        """The restorer for these settings; loads the weights if another model is loaded.

        Raises:
            WeightsError: the weights are damaged.
            ResourceError: the device is not available.
        """
        from derain_cli.engine.restorer import Restorer
        from derain_cli.serve.remembered import RememberedEngine

        with self._lock:
            if self._loaded is None or self._loaded[0] != settings.model:
                self._loaded = None
                plain = Restorer.from_pretrained(self.offers[settings.model].path, **asdict(self.options))
                self._loaded = settings.model, plain, RememberedEngine(plain.engine)
            _, plain, remembered = self._loaded
        engine = remembered if kind == "photo" else plain.engine
        return Restorer(engine, replace(self.options, strength=settings.strength), plain.card)


def _offer(name: str, path: Path, head: Head) -> Offer:
    card = head.card
    return Offer(name, path, card.summary, card.licence, card.limits, head.config.frames)
