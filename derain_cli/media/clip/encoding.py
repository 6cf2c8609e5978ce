"""Choice of codec, encoder and pixel format: those of the source if the output format supports them."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from derain_cli.config import VideoOptions
from derain_cli.errors import UsageError
from derain_cli.media.clip.hardware import hardware_encoder
from derain_cli.media.clip.info import ClipInfo
from derain_cli.remedies import Remedy

__all__ = ["FORMATS", "WRITABLE_CLIPS", "Encoding", "choose_encoding"]

_CODECS_IN = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".m4v": ("h264", "hevc"),
    ".mov": ("h264", "hevc", "prores"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1", "prores"),
    ".webm": ("vp9", "av1"),
}
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg names of the output formats, by suffix."""
WRITABLE_CLIPS = frozenset(FORMATS)
"""Suffixes of outputs."""

_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "ffv1": "ffv1",
    "prores": "prores_ks",
}
_CRF = {"h264": 18, "hevc": 20, "av1": 24, "vp9": 24}
"""Visually close to lossless, by codec; the scales differ."""
_PRESET = {"h264": "medium", "hevc": "medium", "av1": "8", "vp9": "4"}
_NAMED_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_NUMBERED_PRESETS = {"h264": (0, 9), "hevc": (0, 9), "av1": (0, 13), "vp9": (-8, 8)}
"""First and last, by codec; x264 and x265 also accept names."""
_RGB_ENCODERS = {"h264": "libx264rgb"}
"""Encoders for RGB if different."""
_HDR_NAMES = {
    "h264": ("mastering-display", "cll"),
    "hevc": ("master-display", "max-cll"),
    "av1": ("mastering-display", "content-light"),
}
"""Encoder names of mastering display and content light level; other encoders support neither."""
_WITH_ALPHA = {".webm": "vp9", ".mkv": "vp9", ".mov": "prores"}
_HOLDS_ALPHA = frozenset(_WITH_ALPHA.values()) | {"ffv1"}
_EVEN_ONLY = frozenset({"libx264", "libx265", "libsvtav1", "prores_ks"})
"""Encoders that need sides divisible by their chroma subsampling."""
_NARROWEST = {"libx265": 64}
"""Smallest width by encoder: below it, x265 writes beyond its buffers (up to 48 pixels, seen with malloc checks; 50 is
fine), and the process may abort much later."""
_NEVER = ("nv", "yuvj", "bgr", "p0", "gray", "ya", "gbr")
"""Pixel formats used only if the source has the same one."""

_PLAIN = frozenset(("yuv420p", "yuv420p10le"))
"""Layouts that encoders of graphics chips have in common."""
_REFUSED = frozenset({"yuva422p", "yuva444p", "gbrap"})
"""Pixel formats that the VP9 encoder lists but refuses."""
_BOTTOM = 3
"""FFmpeg field order: bottom field first."""


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded.

    Attributes:
        codec: FFmpeg codec name.
        encoder: FFmpeg encoder name.
        pix_fmt: FFmpeg pixel format name.
        alpha: whether transparency is kept.
        options: encoder options.
        notes: one-line notes on what could not be kept.
        device: FFmpeg name of the hardware device that frames are uploaded to; None if they are not.
    """

    codec: str
    encoder: str
    pix_fmt: str
    alpha: bool
    options: dict[str, str]
    notes: tuple[str, ...] = ()
    device: str | None = None


def choose_encoding(info: ClipInfo, suffix: str, options: VideoOptions) -> Encoding:
    """Choose codec, encoder and pixel format for an output.

    Args:
        info: the source.
        suffix: suffix of the output, lower case with dot.
        options: the requested options.

    Raises:
        UsageError: the format does not support the requested codec, or the codec has no such preset.
    """
    allowed, notes = _CODECS_IN[suffix], []
    width, height = info.coded_width, info.coded_height
    if options.codec != "auto":
        codec: str = options.codec
        if codec not in allowed:
            holds = ", ".join(allowed)
            raise UsageError(f"{suffix} does not support {codec}, only {holds}", remedy=Remedy.MATROSKA)
    elif info.has_alpha and suffix in _WITH_ALPHA:
        codec = info.codec if info.codec in _HOLDS_ALPHA and info.codec in allowed else _WITH_ALPHA[suffix]
    else:
        codec = info.codec if info.codec in allowed else allowed[0]
    alpha = info.has_alpha and codec in _HOLDS_ALPHA and suffix in _WITH_ALPHA
    if info.has_alpha and not alpha:
        notes.append(f"{codec} in {suffix} does not support transparency: left out (webm and mov support it)")
    is_rgb = _is_rgb(info.pix_fmt)
    # Otherwise no RGB, since few players support it.
    keep_rgb = is_rgb and not alpha and (codec == "ffv1" or (codec == info.codec and info.bit_depth == 8))
    encoder = _RGB_ENCODERS.get(codec, _ENCODERS[codec]) if keep_rgb else _ENCODERS[codec]
    pix_fmt = _pixel_format(info, encoder, alpha, rgb=keep_rgb)
    if pix_fmt is None and options.codec == "auto":
        notes.append(f"{codec} does not support {width}x{height} pixels: using h264")
        codec, encoder = "h264", _ENCODERS["h264"]
        pix_fmt = _pixel_format(info, encoder, alpha)
    if pix_fmt is None:
        raise UsageError(
            f"{codec} does not support {width}x{height} pixels", remedy=Remedy.ONE_OF_CODECS, codecs="h264 or vp9"
        )
    if _subsampling(pix_fmt) != _subsampling(info.pix_fmt) and (width % 2 or height % 2):
        notes.append(f"the odd size {width}x{height} needs {pix_fmt}, which not all players support")
    if is_rgb and not _is_rgb(pix_fmt):
        notes.append(f"RGB is converted to {pix_fmt}, which rounds colours (ffv1 keeps them)")
    if _depth(pix_fmt) < info.bit_depth:
        notes.append(f"{codec} keeps {_depth(pix_fmt)} of {info.bit_depth} bits")
    if codec not in _HDR_NAMES and (info.mastering_display or info.content_light):
        notes.append(f"{encoder} does not support mastering display and content light level: left out")
    if info.interlaced and not _marks_fields(info, codec, pix_fmt):
        reason = f"with {height} rows" if codec == "h264" else "(h264 does)"
        only = "" if suffix == ".webm" or codec == "h264" else ": only the file header does"
        notes.append(f"{codec} does not mark interlaced frames {reason}{only}")
    if options.preset is not None and (note := _preset_note(codec, options)):
        notes.append(note)
    coded = Encoding(codec, encoder, pix_fmt, alpha, _encoder_options(codec, info, pix_fmt, options), tuple(notes))
    return coded if options.hw == "off" else _by_hardware(coded, info, options)


def _by_hardware(encoding: Encoding, info: ClipInfo, options: VideoOptions) -> Encoding:
    """The same by an encoder of the graphics chip; as it is, with a remark, where there is none that does it."""
    codec, keeps = encoding.codec, encoding.pix_fmt in _PLAIN
    if not keeps or info.interlaced or info.mastering_display or info.content_light:
        note = f"{_special(info, encoding)} cannot be coded by a graphics chip: {encoding.encoder} does"
        return replace(encoding, notes=(*encoding.notes, note))
    quality = options.crf if options.crf is not None else _CRF["h264"]
    size = info.coded_width, info.coded_height
    found = hardware_encoder(options.hw, codec, size, _depth(encoding.pix_fmt), quality)
    if found is None:
        which = "no graphics chip" if options.hw == "auto" else options.hw
        return replace(encoding, notes=(*encoding.notes, f"{which} codes {codec} here: {encoding.encoder} does"))
    notes = encoding.notes
    if options.preset is not None:
        notes = (*notes, f"{found.name} has presets of its own: {options.preset!r} has no effect")
    return Encoding(codec, found.name, found.pix_fmt, False, found.options, notes, found.device)


def _special(info: ClipInfo, encoding: Encoding) -> str:
    if info.interlaced:
        return "interlaced frames"
    return "HDR metadata" if encoding.pix_fmt in _PLAIN else encoding.pix_fmt


def _preset_note(codec: str, options: VideoOptions) -> str | None:
    """A note on a preset without effect.

    Raises:
        UsageError: the codec has no such preset.
    """
    preset = options.preset or ""
    if codec not in _NUMBERED_PRESETS:
        if options.codec != "auto":
            raise UsageError(f"{codec} has no presets: {preset!r} cannot be used")
        return f"{codec} has no presets: {preset!r} is ignored"
    first, last = _NUMBERED_PRESETS[codec]
    with suppress(ValueError):
        if first <= int(preset) <= last:
            return None
    if codec in ("h264", "hevc"):
        if preset in _NAMED_PRESETS:
            return None
        raise UsageError(f"no preset {preset!r} for {codec}: {', '.join(_NAMED_PRESETS)}")
    raise UsageError(f"no preset {preset!r} for {codec}: {first} (slow) to {last} (fast)")


def _marks_fields(info: ClipInfo, codec: str, pix_fmt: str) -> bool:
    """Whether encoded frames are marked as interlaced; the encoder needs complete chroma rows in each field."""
    return info.interlaced and codec == "h264" and info.coded_height % (2 * _subsampling(pix_fmt)[1]) == 0


def _encoder_options(codec: str, info: ClipInfo, pix_fmt: str, options: VideoOptions) -> dict[str, str]:
    crf = str(options.crf if options.crf is not None else _CRF.get(codec, 0))
    preset = options.preset or _PRESET.get(codec, "")
    if codec in ("h264", "hevc"):
        made = {"crf": crf, "preset": preset}
        params = _hdr_parameters(codec, info)
        if codec == "hevc":
            params = ["log-level=none", *params]
        elif _marks_fields(info, codec, pix_fmt):
            params.append("bff=1" if info.field_order == _BOTTOM else "tff=1")
        if params:
            made["x264-params" if codec == "h264" else "x265-params"] = ":".join(params)
        return made
    if codec == "av1":
        params = _hdr_parameters(codec, info)
        return {"crf": crf, "preset": preset} | ({"svtav1-params": ":".join(params)} if params else {})
    if codec == "vp9":
        # Alternate reference frames cannot be combined with alpha: the hidden frames have none.
        return {"crf": crf, "b": "0", "cpu-used": preset, "row-mt": "1"} | (
            {"auto-alt-ref": "0"} if info.has_alpha else {}
        )
    if codec == "prores":
        return {"profile": "4444" if info.has_alpha else "hq", "alpha_bits": "16" if info.has_alpha else "0"}
    return {"level": "3", "g": "1"}


def _hdr_parameters(codec: str, info: ClipInfo) -> list[str]:
    """Mastering display and content light level as encoder parameters (converted from FFmpeg structures)."""
    display, light = _HDR_NAMES[codec]
    made = []
    if info.mastering_display is not None and len(info.mastering_display) >= 88:
        numbers = struct.unpack("20i2i", info.mastering_display[:88])
        values = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
        if numbers[20] and numbers[21]:
            if codec == "av1":  # plain candela and chromaticities, not in small units
                coordinates, luminances = ([f"{float(v):.6g}" for v in part] for part in (values[:8], values[8:]))
            else:
                coordinates = [str(round(v * 50000)) for v in values[:8]]
                luminances = [str(round(v * 10000)) for v in values[8:]]
            red, green, blue, white = (",".join(coordinates[i : i + 2]) for i in (0, 2, 4, 6))
            low, high = luminances
            made.append(f"{display}=G({green})B({blue})R({red})WP({white})L({high},{low})")
    if info.content_light is not None and len(info.content_light) >= 8:
        most, average = struct.unpack("2I", info.content_light[:8])
        made.append(f"{light}={most},{average}")
    return made


def _pixel_format(info: ClipInfo, encoder: str, alpha: bool, *, rgb: bool = False) -> str | None:
    """The pixel format of the encoder that is closest to the source and loses least; None if none fits the size."""
    import av

    if info.coded_width < _NARROWEST.get(encoder, 0):
        return None
    source = info.pix_fmt.replace("yuvj", "yuv")
    chroma = _subsampling(source)
    found = []
    for each in av.Codec(encoder, "w").video_formats or []:
        name = each.name
        usual = name == source or not name.startswith(_NEVER) or (rgb and _is_rgb(name))
        if not usual or (encoder == "libvpx-vp9" and name in _REFUSED):
            continue
        across, down = _subsampling(name)
        if encoder in _EVEN_ONLY and (info.coded_width % across or info.coded_height % down):
            continue
        depth = _depth(name)
        has_alpha = any(c.is_alpha for c in each.components)
        coarser = across > chroma[0] or down > chroma[1]
        order = (
            has_alpha != alpha,
            rgb and not _is_rgb(name),
            depth < info.bit_depth,
            abs(depth - info.bit_depth),
            coarser,
            chroma[0] - across + chroma[1] - down,
            name != source,
            name,
        )
        found.append((order, name))
    fitting = [(order, name) for order, name in found if not order[0]] or found
    return min(fitting)[1] if fitting else None


def _subsampling(pix_fmt: str) -> tuple[int, int]:
    """Chroma subsampling, horizontal and vertical."""
    import av

    # Derived from the plane sizes of a 64x64 picture.
    form = av.VideoFormat(pix_fmt, 64, 64)
    if form.is_rgb or len(form.components) < 3:
        return (1, 1) if form.is_rgb else (2, 2)
    return 64 // form.components[1].width, 64 // form.components[1].height


def _is_rgb(pix_fmt: str) -> bool:
    import av

    return bool(av.VideoFormat(pix_fmt, 64, 64).is_rgb)


def _depth(pix_fmt: str) -> int:
    import av

    return max(c.bits for c in av.VideoFormat(pix_fmt, 64, 64).components)
