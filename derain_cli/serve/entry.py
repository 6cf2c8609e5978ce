"""One upload: what was asked for, how far it is, what became of it."""

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
"""An expected time is relied on so far."""


@dataclass(frozen=True)
class Settings:
    """What is asked for.

    Attributes:
        model: name of an offered one.
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
    """What a first look at an upload finds.

    Attributes:
        kind: by its content.
        width, height: pixels, upright.
        format: of a photo, or a clip's codec, for people to read.
        moments: times of the stills of a clip, seconds; a single 0 for a photo.
        duration: of a clip, seconds; None for photos and where the file does not say.
        frames: of a clip, as declared; None likewise.
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
    """How far the work on an upload is.

    Attributes:
        share: of the work that is done, 0..1, as far as known.
        left: seconds still to go; None: unknown.
        frames: of a clip, done.
        begun: when the network began, monotonic seconds; where there is `expected`, the share grows by itself.
        expected: seconds that it will take.
    """

    share: float = 0.0
    left: float | None = None
    frames: int | None = None
    begun: float | None = None
    expected: float | None = None

    def view(self) -> dict[str, Any]:
        """For the page."""
        share, left = self.share, self.left
        if self.begun is not None and self.expected:
            passed = time.monotonic() - self.begun
            part = passed / self.expected
            # Evenly at first; what takes longer than expected comes ever more slowly near the end.
            share = max(share, part if part < _SURE else 1 - (1 - _SURE) * _SURE / part)
            left = self.expected - passed if part < 1 else None
        return {"share": round(share, 4), "left": None if left is None else round(left, 1), "frames": self.frames}


@dataclass(frozen=True)
class Stills:
    """Pictures for the browser, one for each of the moments.

    Attributes:
        paths: JPEG or PNG.
        settings: what they were made with; None: nothing was taken out.
        version: no two sets of an upload have the same.
    """

    paths: tuple[Path, ...]
    settings: Settings | None = None
    version: int = 0


@dataclass(frozen=True)
class Result:
    """A finished output.

    Attributes:
        path: of the file.
        name: to be saved by.
        size: bytes.
        settings: what it was made with.
        seconds: of work.
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
    """One upload. Its parts are frozen and exchanged as a whole; `Registry.lock` is held where several change at once.

    Attributes:
        number: of it, in its session.
        name: as the browser calls it, for people to read; never a path.
        folder: where all of it lies.
        source: the upload itself.
        size: of the upload, bytes.
        look: what it is.
        settings: what is asked for now.
        before, after: stills.
        stop: set when what is being done, or waited for, is not wanted any more.
        gone: it was deleted; what is still at work on it deletes the folder once more.
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
        """Bytes that it takes on the disk, stills left out."""
        return self.size + (self.result.size if self.result else 0)

    def view(self, ahead: int | None) -> dict[str, Any]:
        """For the page; `ahead` is how many are done before it."""
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
