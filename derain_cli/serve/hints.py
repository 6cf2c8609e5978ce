"""How the page words the way out of a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derain_cli.errors import DerainError, expected, printable
from derain_cli.remedies import Remedy

__all__ = ["WORDS", "Problem", "problem_from"]

_AT_THE_SERVER = "whoever started this page can"

WORDS: Mapping[Remedy, str] = {
    Remedy.MORE_PIXELS: f"make it smaller; {_AT_THE_SERVER} also raise the limit on pixels",
    Remedy.MAKE_VIDEO: "save it as a clip, or split it into single pictures",
    Remedy.CLIP_COMMAND: "the clip in it can't be read",
    Remedy.PHOTO_COMMAND: "the photo in it can't be read",
    Remedy.OTHER_DEVICE: f"{_AT_THE_SERVER} choose another device",
    Remedy.USE_CPU: f"{_AT_THE_SERVER} start it on the CPU",
    Remedy.USE_CPU_OR_SMALLER: f"try a smaller picture; {_AT_THE_SERVER} also start it on the CPU",
    Remedy.SMALLER_TILES: "close other programs, or try a smaller picture",
    Remedy.NO_TILES: f"{_AT_THE_SERVER} leave the choice of tiles to it",
    Remedy.LIST_MODELS: "choose another model",
    Remedy.VERIFY_MODELS: "choose another model: these weights may be damaged",
    Remedy.MATROSKA: "convert the clip to mkv first, which holds all",
    Remedy.START_AGAIN: "remove it and add it again",
}
"""Where the page has words of its own; else the sentence for callers from Python is understood here too."""


@dataclass(frozen=True)
class Problem:
    """Why something failed, for people to read.

    Attributes:
        reason: what is wrong.
        hint: the way out; None where none is known.
    """

    reason: str
    hint: str | None = None

    def view(self) -> dict[str, Any]:
        """For the page."""
        return {"reason": self.reason, "hint": self.hint}


def problem_from(error: Exception) -> Problem:
    """What to tell of an error. Paths on this machine are left out: the page knows which picture it is about."""
    known = expected(error)
    if known is None:
        return Problem(f"internal error: {type(error).__name__}", "please report this")
    return Problem(printable(known.reason), _hint_of(known))


def _hint_of(error: DerainError) -> str | None:
    if error.remedy is not None and error.remedy in WORDS:
        return WORDS[error.remedy].format_map(error.facts)
    return None if error.hint is None else printable(error.hint)
