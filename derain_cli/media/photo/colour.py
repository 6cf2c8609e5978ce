"""Colour spaces given by code points instead of a profile: ITU-T H.273 (CICP) in AVIF, HEIF and PNG."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CodePoints", "colour_chunk", "read_box", "with_box"]

_BOX = b"colrnclx"
_LOOK_AHEAD = 1 << 18
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
    1: ("BT.709", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))),
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    12: ("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
}
_HDR = {16: "PQ", 18: "HLG"}
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_CURVES = {4: (2.2,), 5: (2.8,), 8: (1.0,), 13: _SRGB_CURVE} | dict.fromkeys((1, 2, 6, 14, 15), _SRGB_CURVE)
"""By transfer characteristics: exponent, or the five parameters of ICC function type 3. What cameras call BT.709 is
displayed as sRGB by all programs."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True)
class CodePoints:
    """Colour primaries and transfer characteristics of RGB pixels (H.273, tables 2 and 3)."""

    primaries: int
    transfer: int

    @property
    def is_usual(self) -> bool:
        """Whether it is sRGB or unspecified, which is the default interpretation of untagged pixels."""
        return self.primaries in (1, 2) and self.transfer in (1, 2, 6, 13, 14, 15)

    @property
    def name(self) -> str:
        """Display name."""
        space = _PRIMARIES[self.primaries][0] if self.primaries in _PRIMARIES else f"primaries {self.primaries}"
        return f"{space} {_HDR[self.transfer]}" if self.transfer in _HDR else space

    def profile(self) -> bytes | None:
        """An equivalent ICC profile (version 4, matrix and curve); None for HDR, which has no such profile."""
        known = self.primaries in _PRIMARIES and self.transfer in _CURVES
        return _profile(self.primaries, self.transfer) if known else None


def read_box(data: bytes) -> CodePoints | None:
    """The code points of an AVIF or HEIF file (`colr` box of type `nclx`), unless they are the default."""
    place = data.find(_BOX, 0, _LOOK_AHEAD)
    if place < 0 or len(data) < place + 12:
        return None
    points = CodePoints(*struct.unpack_from(">HH", data, place + len(_BOX)))
    return None if points.is_usual else points


def with_box(data: bytes, points: CodePoints) -> bytes | None:
    """The AVIF or HEIF file with these code points instead of its own; None if it has no box for them."""
    place = data.find(_BOX, 0, _LOOK_AHEAD)
    if place < 0:
        return None
    start = place + len(_BOX)
    return data[:start] + struct.pack(">HH", points.primaries, points.transfer) + data[start + 4 :]


def colour_chunk(points: CodePoints) -> tuple[bytes, bytes]:
    """The PNG chunk for these code points: full range, no matrix."""
    return b"cICP", bytes((points.primaries, points.transfer, 0, 1))


@functools.cache
def _profile(primaries: int, transfer: int) -> bytes:
    to_xyz = _adapted(_rgb_to_xyz(_PRIMARIES[primaries][1]))
    curve = _CURVES[transfer]
    para = struct.pack(">4sIHH", b"para", 0, 0 if len(curve) == 1 else 3, 0) + b"".join(_fixed(v) for v in curve)
    blocks = {b"desc": _text(_PRIMARIES[primaries][0]), b"cprt": _text("No copyright"), b"wtpt": _xyz(_D50)}
    blocks |= {name + b"XYZ": _xyz(to_xyz[:, n]) for n, name in enumerate((b"r", b"g", b"b"))}
    blocks |= {name + b"TRC": para for name in (b"r", b"g", b"b")}
    place, table, body = 128 + 4 + 12 * len(blocks), b"", b""
    for name, block in blocks.items():
        table += struct.pack(">4sII", name, place + len(body), len(block))
        body += block.ljust(-(-len(block) // 4) * 4, b"\0")
    size = place + len(body)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(blocks)) + table + body


def _rgb_to_xyz(primaries: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float64]:
    """Matrix from linear RGB with white point D65 to XYZ (SMPTE RP 177)."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    return columns * np.linalg.solve(columns, _white())


def _white() -> npt.NDArray[np.float64]:
    x, y = _D65
    return np.array([x / y, 1, (1 - x - y) / y])


def _adapted(to_xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Matrix adapted to D50, as ICC requires, by the Bradford method."""
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ _white())
    adapted: npt.NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ to_xyz
    return adapted


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(float(v)) for v in values)


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(coded), 28) + coded
