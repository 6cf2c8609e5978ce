"""Time codes: hours, minutes, seconds and frames that a camera counted, and what they are further on in the clip."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["later"]

_CODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)")
_DAY = 24 * 60 * 60


def later(code: str, seconds: Fraction, rate: Fraction | None) -> str:
    """A time code some time after another one, as SMPTE ST 12-1 counts.

    Args:
        code: `HH:MM:SS:FF`; a `;` or `.` before the frames means that numbers are dropped, to keep up with the clock
            at 30000/1001 or 60000/1001 frames a second: the first two (four) of every minute that no ten divides.
        seconds: how much later, 0 and more.
        rate: frames per second.

    Returns:
        The later code, written the same way; `code` itself where it is none, or the rate is not known.
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
