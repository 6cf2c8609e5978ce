"""Advancing time codes."""

from __future__ import annotations

from fractions import Fraction

import pytest

from derain_cli.media.clip.carried.timecode import later

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("code", "seconds", "rate", "then"),
    [
        ("01:02:03:04", Fraction(1, 5), Fraction(25), "01:02:03:09"),
        ("23:59:59:24", Fraction(1, 25), Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1 / NTSC, NTSC, "00:01:00;02"),  # two numbers are skipped
        ("00:09:59;29", 1 / NTSC, NTSC, "00:10:00;00"),  # but not every tenth minute
        ("00:00:00;00", Fraction(3600) - Fraction(1, 1000), NTSC, "01:00:00;00"),
        ("00:00:59:29", 1 / NTSC, NTSC, "00:01:00:00"),
        ("nonsense", Fraction(1), Fraction(25), "nonsense"),
        ("01:02:03:04", Fraction(1), None, "01:02:03:04"),
    ],
)
def test_time_codes_count_on(code: str, seconds: Fraction, rate: Fraction | None, then: str) -> None:
    assert later(code, seconds, rate) == then
