"""Decoded frames as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from derain_cli.errors import InputError
from derain_cli.media.clip.boxes import DOLBY_LEFT_OUT
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.pixels import Pixels
from derain_cli.remedies import Remedy

__all__ = ["LEFT_OUT", "Frame", "decoded_frame"]

LEFT_OUT = {
    "DOVI_RPU_BUFFER": DOLBY_LEFT_OUT,
    "DOVI_METADATA": DOLBY_LEFT_OUT,
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata, which changes from scene to scene, is left out",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata, which changes from scene to scene, is left out",
    "A53_CC": "closed captions inside the video track are left out",
    "S12M_TIMECODE": "time codes of single frames are left out",
    "STEREO3D": "the marking of frames as 3D pairs is left out",
}
"""Side data of frames that no encoder here can write, by FFmpeg name."""
_FULL_RANGE = 2


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        pixels: (H, W, 3) RGB, upright; uint8 in 0..255, or uint16 in 0..65535 for more than 8 bits.
        pts: timestamp in ticks of `time_base`; strictly increasing within a clip.
        time_base: seconds per tick.
        duration: declared duration in ticks, 0 if not declared. With a variable rate and frames stored out of order it
            may be that of another frame.
        alpha: (H, W) of the same dtype, upright; None if the clip has none.
        seconds: time from the start of the clip.
    """

    pixels: Pixels
    pts: int
    time_base: Fraction
    duration: int = 0
    alpha: Pixels | None = None
    seconds: float = 0.0

    @property
    def time(self) -> float:
        """`pts` in seconds."""
        return float(self.pts * self.time_base)


def decoded_frame(picture: Any, pts: int, info: ClipInfo) -> Frame:
    """A decoded picture as a frame of the clip with this timestamp.

    Raises:
        InputError: its size is not that of the clip.
    """
    if (picture.width, picture.height) != (info.coded_width, info.coded_height):
        raise InputError(
            f"the picture size changes from {info.coded_width}x{info.coded_height} to "
            f"{picture.width}x{picture.height} at {info.described(pts)}",
            path=info.path,
            remedy=Remedy.END_EARLIER,
            seconds=f"{info.seconds(pts):.2f}",
        )
    pixels, alpha = _rgb(picture, info)
    return Frame(pixels, pts, info.time_base, int(picture.duration or 0), alpha, info.seconds(pts))


def _rgb(picture: Any, info: ClipInfo) -> tuple[Pixels, Pixels | None]:
    """Upright pixels and alpha of a decoded picture."""
    from av.video.reformatter import Interpolation

    deep = info.bit_depth > 8
    name = ("rgba64le" if deep else "rgba") if info.has_alpha else ("rgb48le" if deep else "rgb24")
    # The tags of the stream, not of the frame, since encoding must use the same ones.
    if not picture.format.is_rgb:
        picture.colorspace = info.matrix_used
        if info.color_range:
            picture.color_range = info.color_range
    # By default the scaler truncates, which costs a whole level per round trip. Its exact mode is for 8 bits only; with
    # 16 bits colours are wrong (FFmpeg 8).
    exact = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
    if not deep:
        exact |= Interpolation.FULL_CHR_H_INT
    array = picture.to_ndarray(format=name, interpolation=exact, dst_color_range=_FULL_RANGE, threads=1)
    alpha = None
    if info.has_alpha:
        alpha = info.orientation.upright(array[:, :, 3])
        array = array[:, :, :3]
    return info.orientation.upright(array), alpha
