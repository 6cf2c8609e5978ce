"""Time codes of cameras (hours, minutes, seconds, frames), and their values later in the clip."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["later"]

_CODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)")
_DAY = 24 * 60 * 60


def later(code: str, seconds: Fraction, rate: Fraction | None) -> str:
    """Advance a time code according to SMPTE ST 12-1.

    Args:
        code: `HH:MM:SS:FF`; `;` or `.` before the frames means drop-frame counting at 30000/1001 or 60000/1001 frames
            per second: the first two (four) numbers of every minute not divisible by ten are skipped.
        seconds: offset, at least 0.
        rate: frames per second.

    Returns:
        The later code in the same notation; `code` itself if it is not a time code or the rate is unknown.
    """
    found = _CODE.fullmatch(code.strip())
    if found is None or not rate:
        return code
    hours, minutes, secs, frames = (int(found[n]) for n in (1, 2, 3, 5))
    mark, per_second = found[4], round(rate)
    dropped = per_second // 15 if mark != ":" and per_second % 30 == 0 else 0
    number = ((hours * 60 + minutes) * 60 + secs) * per_second + frames
    whole = hours * 60 + minutes
    number -= dropped * (whole - whole // 10)
    number += round(seconds * rate)
    per_minute = 60 * per_second - dropped
    per_ten = 10 * per_minute + dropped
    number %= 144 * per_ten
    tens, rest = divmod(number, per_ten)
    number += dropped * 9 * tens
    if rest >= 60 * per_second:
        number += dropped * ((rest - 60 * per_second) // per_minute + 1)
    total, frames = divmod(number, per_second)
    total %= _DAY
    width = len(found[5])
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}{mark}{frames:0{width}d}"
