"""Coders of graphics chips: which there are, and whether they work here.

That FFmpeg was built with one says nothing about the machine: each is tried on a few frames of the clip's own size
before it is used. Settings aim at the quality of the software encoders; files come out larger for it.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from derain_cli.config import HARDWARE

__all__ = ["HardwareEncoder", "decoding_device", "hardware_encoder"]

_DEVICES = {
    "nvenc": ("cuda",),
    "qsv": ("qsv",),
    "videotoolbox": ("videotoolbox",),
    "amf": ("amf", "d3d11va"),
    "vaapi": ("vaapi",),
}
"""FFmpeg's names of the devices that decode, by family."""
_UPLOADED = frozenset(["vaapi"])
"""Families whose encoders take frames that lie on the device only."""
_FORMATS = {8: ("yuv420p", "nv12"), 10: ("p010le", "yuv420p10le")}
"""Pixel formats by depth, the wanted ones first; no encoder here codes more than 10 bits."""
_CODECS = frozenset(("h264", "hevc", "av1", "vp9"))
_TRIED = 4
"""Frames of a trial."""


@dataclass(frozen=True)
class HardwareEncoder:
    """An encoder that works.

    Attributes:
        name: FFmpeg's.
        pix_fmt: of the frames it is given.
        options: of the encoder.
        device: FFmpeg's name of the device that frames are uploaded to; None where the encoder does that itself.
    """

    name: str
    pix_fmt: str
    options: dict[str, str]
    device: str | None = None


def hardware_encoder(
    wanted: str, codec: str, size: tuple[int, int], depth: int, quality: int
) -> HardwareEncoder | None:
    """The first encoder of a chip that codes frames of a clip, or None.

    Args:
        wanted: `auto`, or a family or encoder of `config.HARDWARE`.
        codec: FFmpeg's name of the codec.
        size: width and height as coded, pixels.
        depth: bits per channel.
        quality: on the scale of x264, lower is better.
    """
    import av

    exact = wanted.rpartition("_")[0]
    if codec not in _CODECS or depth not in _FORMATS or exact not in ("", codec):
        return None
    for family in _families(wanted):
        name = f"{codec}_{family}"
        if name not in av.codecs_available:
            continue
        known = {form.name for form in av.Codec(name, "w").video_formats or []}
        device = family if family in _UPLOADED else None
        for pix_fmt in _FORMATS[depth]:
            if device is None and pix_fmt not in known:
                continue
            encoder = HardwareEncoder(name, pix_fmt, _options(family, quality), device)
            if _works(encoder, size):
                return encoder
    return None


def decoding_device(wanted: str) -> str | None:
    """FFmpeg's name of the first device that can be opened for decoding, or None.

    Args:
        wanted: as for `hardware_encoder`.
    """
    from av.codec.hwaccel import hwdevices_available

    built = set(hwdevices_available())
    return next(
        (name for family in _families(wanted) for name in _DEVICES[family] if name in built and _opens(name)), None
    )


def _families(wanted: str) -> Sequence[str]:
    return tuple(HARDWARE) if wanted == "auto" else (wanted.rpartition("_")[2],)


def _options(family: str, quality: int) -> dict[str, str]:
    """The nearest to a constant quality that each family has; no frames out of order, which not all of them tell."""
    if family == "nvenc":
        return {"rc": "constqp", "qp": str(quality), "preset": "p5", "bf": "0"}
    if family == "qsv":
        return {"global_quality": str(quality), "preset": "medium", "bf": "0"}
    if family == "videotoolbox":
        # 1 to 100, higher is better: 65 is about x264's 18.
        return {"flags": "+qscale", "global_quality": str(118 * max(1, min(100, 101 - 2 * quality))), "bf": "0"}
    if family == "amf":
        return {"rc": "cqp", "qp_i": str(quality), "qp_p": str(quality), "quality": "quality", "bf": "0"}
    return {"rc_mode": "CQP", "qp": str(quality), "bf": "0"}


def _works(encoder: HardwareEncoder, size: tuple[int, int]) -> bool:
    """Whether some frames come out again, as many as went in."""
    import av

    try:
        written = io.BytesIO()
        with av.open(written, "w", format="matroska") as out:
            stream = _stream(out, encoder)
            stream.width, stream.height = size
            stream.pix_fmt = encoder.pix_fmt
            for number in range(_TRIED):
                out.mux(stream.encode(_flat(number, size, encoder.pix_fmt)))
            out.mux(stream.encode(None))
        with av.open(io.BytesIO(written.getvalue()), "r") as back:
            return len(list(back.decode(video=0))) == _TRIED
    except (av.FFmpegError, OSError, ValueError, RuntimeError):
        return False


def _stream(out: Any, encoder: HardwareEncoder) -> Any:
    from av.codec.hwaccel import HWAccel

    device = {} if encoder.device is None else {"hwaccel": HWAccel(encoder.device)}
    return out.add_stream(encoder.name, rate=25, options=dict(encoder.options), **device)


@functools.cache
def _opens(device: str) -> bool:
    """Whether a clip made for the purpose is decoded on a device."""
    import av
    from av.codec.hwaccel import HWAccel

    try:
        sample = io.BytesIO()
        with av.open(sample, "w", format="matroska") as out:
            stream: Any = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for number in range(_TRIED):
                out.mux(stream.encode(_flat(number, (320, 240), "yuv420p")))
            out.mux(stream.encode(None))
        accelerated = HWAccel(device, allow_software_fallback=False)
        with av.open(io.BytesIO(sample.getvalue()), "r", hwaccel=accelerated) as back:
            return len(list(back.decode(video=0))) == _TRIED
    except (av.FFmpegError, OSError, ValueError, RuntimeError):
        return False


def _flat(number: int, size: tuple[int, int], pix_fmt: str) -> Any:
    import av

    grey = np.full((size[1], size[0], 3), 60 + 40 * number, np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pix_fmt)
    frame.pts = number
    return frame
