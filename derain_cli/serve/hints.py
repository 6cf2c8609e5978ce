"""Wording of errors and hints for the web page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derain_cli.errors import DerainError, expected, printable
from derain_cli.remedies import Remedy

__all__ = ["WORDS", "Problem", "problem_from"]

_AT_THE_SERVER = "the person who started this server can"

WORDS: Mapping[Remedy, str] = {
    Remedy.MORE_PIXELS: f"make it smaller; {_AT_THE_SERVER} also raise the limit on pixels",
    Remedy.MAKE_VIDEO: "save it as a clip, or split it into single pictures",
    Remedy.CLIP_COMMAND: "the clip in it can't be read",
    Remedy.PHOTO_COMMAND: "the photo in it can't be read",
    Remedy.OTHER_DEVICE: f"{_AT_THE_SERVER} choose another device",
    Remedy.USE_CPU: f"{_AT_THE_SERVER} start it on the CPU",
    Remedy.USE_CPU_OR_SMALLER: f"try a smaller picture; {_AT_THE_SERVER} also start it on the CPU",
    Remedy.SMALLER_TILES: "close other programs, or try a smaller picture",
    Remedy.INSTALL_VIDEO: f"{_AT_THE_SERVER} install them",
    Remedy.NO_TILES: f"{_AT_THE_SERVER} use automatic tiling",
    Remedy.LIST_MODELS: "choose another model",
    Remedy.VERIFY_MODELS: "choose another model: these weights may be damaged",
    Remedy.MATROSKA: "convert the clip to mkv first, which holds all",
    Remedy.START_AGAIN: "remove it and add it again",
}
"""Hints where the page differs from the sentences for Python callers."""


@dataclass(frozen=True)
class Problem:
    """An error message.

    Attributes:
        reason: what is wrong.
        hint: what to do about it; None if unknown.
    """

    reason: str
    hint: str | None = None

    def view(self) -> dict[str, Any]:
        """JSON for the page."""
        return {"reason": self.reason, "hint": self.hint}


def problem_from(error: Exception) -> Problem:
    """The message for an error, without paths on this machine."""
    known = expected(error)
    if known is None:
        return Problem(f"internal error: {type(error).__name__}", "please report this")
    return Problem(printable(known.reason), _hint_of(known))


def _hint_of(error: DerainError) -> str | None:
    if error.remedy is not None and error.remedy in WORDS:
        return WORDS[error.remedy].format_map(error.facts)
    return None if error.hint is None else printable(error.hint)
