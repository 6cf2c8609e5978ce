"""One upload: settings, progress and result."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from derain_cli.config.schema import require_option
from derain_cli.serve.hints import Problem

__all__ = ["Entry", "Kind", "Look", "Pace", "Result", "Settings", "Status", "Stills"]

Kind = Literal["photo", "clip"]
Status = Literal["waiting", "preparing", "restoring", "done", "failed"]

_SURE = 0.9
"""Up to this share, progress is linear in the expected time."""


@dataclass(frozen=True)
class Settings:
    """How an upload is to be processed.

    Attributes:
        model: name of an offered model.
        strength: 0..1.

    Raises:
        UsageError: the strength is out of range.
    """

    model: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        require_option(0.0 <= self.strength <= 1.0, "strength", f"must be 0 to 1, not {self.strength}")


@dataclass(frozen=True)
class Look:
    """Properties of an upload.

    Attributes:
        kind: by content.
        width, height: pixels, upright.
        format: of a photo, or codec of a clip.
        moments: times of the stills of a clip, seconds; a single 0 for a photo.
        duration: of a clip, seconds; None for photos and if unknown.
        frames: of a clip, as declared; None if unknown.
    """

    kind: Kind
    width: int
    height: int
    format: str
    moments: tuple[float, ...] = (0.0,)
    duration: float | None = None
    frames: int | None = None


@dataclass(frozen=True)
class Pace:
    """Progress of an upload.

    Attributes:
        share: completed share, 0..1.
        left: remaining seconds; None if unknown.
        frames: completed frames of a clip.
        begun: start of the work, monotonic seconds; with `expected`, progress is estimated from the elapsed time.
        expected: estimated duration, seconds.
    """

    share: float = 0.0
    left: float | None = None
    frames: int | None = None
    begun: float | None = None
    expected: float | None = None

    def view(self) -> dict[str, Any]:
        """JSON for the page."""
        share, left = self.share, self.left
        if self.begun is not None and self.expected:
            passed = time.monotonic() - self.begun
            part = passed / self.expected
            # Linear at first, then ever more slowly towards 1.
            share = max(share, part if part < _SURE else 1 - (1 - _SURE) * _SURE / part)
            left = self.expected - passed if part < 1 else None
        return {"share": round(share, 4), "left": None if left is None else round(left, 1), "frames": self.frames}


@dataclass(frozen=True)
class Stills:
    """Still pictures for the browser, one per moment.

    Attributes:
        paths: JPEG or PNG files.
        settings: of the result shown; None for the upload itself.
        version: increases with every new set.
    """

    paths: tuple[Path, ...]
    settings: Settings | None = None
    version: int = 0


@dataclass(frozen=True)
class Result:
    """A finished output.

    Attributes:
        path: of the file.
        name: suggested file name.
        size: bytes.
        settings: used.
        seconds: processing time.
        notes: one-line remarks.
    """

    path: Path
    name: str
    size: int
    settings: Settings
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass
class Entry:
    """One upload. Its parts are immutable and replaced as a whole, so that readers need no lock.

    Attributes:
        number: unique in its session.
        name: for display only, never a path.
        folder: contains all its files.
        source: the uploaded file.
        size: of the upload, bytes.
        look: its properties.
        settings: requested last.
        before, after: stills.
        stop: set to cancel the current request.
        gone: it was deleted; the worker then deletes the folder once more.
        rounds: how often it was processed.
    """

    number: int
    name: str
    folder: Path
    source: Path
    size: int
    look: Look
    settings: Settings
    before: Stills
    after: Stills | None = None
    status: Status = "waiting"
    pace: Pace = field(default_factory=Pace)
    result: Result | None = None
    problem: Problem | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    gone: bool = False
    rounds: int = 0

    @property
    def held(self) -> int:
        """Disk space of upload and result, bytes."""
        return self.size + (self.result.size if self.result else 0)

    def view(self, ahead: int | None) -> dict[str, Any]:
        """JSON for the page; `ahead` is the number of uploads ahead in the queue."""
        look, result, after = self.look, self.result, self.after
        return {
            "number": self.number,
            "name": self.name,
            "kind": look.kind,
            "size": self.size,
            "width": look.width,
            "height": look.height,
            "format": look.format,
            "duration": look.duration,
            "frames": look.frames,
            "moments": look.moments,
            "settings": _settings_view(self.settings),
            "status": self.status,
            "ahead": ahead,
            "pace": self.pace.view() if self.status in ("preparing", "restoring") else None,
            "before": self.before.version,
            "after": None
            if after is None or after.settings is None
            else {"version": after.version, **_settings_view(after.settings)},
            "result": None
            if result is None
            else {
                "name": result.name,
                "size": result.size,
                "seconds": round(result.seconds, 1),
                "notes": result.notes,
                **_settings_view(result.settings),
            },
            "problem": None if self.problem is None else self.problem.view(),
        }


def _settings_view(settings: Settings) -> dict[str, Any]:
    return {"model": settings.model, "strength": settings.strength}
