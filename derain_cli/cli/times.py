"""Times as text, parsed and printed."""

from __future__ import annotations

from datetime import datetime, timedelta

from derain_cli.errors import UsageError

__all__ = ["about", "clock", "seconds_from", "until"]


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


def about(seconds: float) -> str:
    """40 s, 14 min, 2 h 10 min, 3 days: no more precise than an estimate is."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s" if seconds < 20 else f"{5 * round(seconds / 5)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        hours, minutes = divmod(5 * round(seconds / 300), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(seconds / 86400)} days"


def until(seconds: float, now: datetime | None = None) -> str:
    """The local time of day some seconds from now, such as 15:42; with the day if it is another one."""
    begin = now or datetime.now().astimezone()
    end = begin + timedelta(seconds=seconds)
    if end.date() == begin.date():
        return f"{end:%H:%M}"
    return f"{end:%a %H:%M}" if seconds < 6 * 86400 else f"{end:%d %b %H:%M}"
