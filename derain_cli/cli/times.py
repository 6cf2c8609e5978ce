"""Times as text, parsed and printed."""

from __future__ import annotations

from derain_cli.errors import UsageError

__all__ = ["clock", "seconds_from"]


def seconds_from(text: str, flag: str) -> float:
    """Parse `12.5`, `1:02` or `1:02:03.5` to seconds.

    Raises:
        UsageError: not a time.
    """
    parts = text.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or any(n < 0 or n != n or n > 1e7 for n in numbers):
        raise UsageError(f"{flag} must be seconds, M:SS or H:MM:SS, not {text!r}")
    total = 0.0
    for number in numbers:
        total = 60 * total + number
    return total


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
