"""Opens video files (no other module does) and finds their video track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from derain_cli.errors import InputError, ResourceError, resource_error_from
from derain_cli.media.clip.pictures import USUAL_RATE, Pictures, animated_webp, sequence_in
from derain_cli.media.clip.tables import mended_file

__all__ = ["open_container", "packets_of", "says_alpha", "unusable", "video_stream"]


# By content. Excluded: playlists (hls, concat, dash), which open other files or the network; pictures, which have their
# own command; and the text art demuxer, which accepts any text file.
_CONTAINERS = frozenset(
    (
        *("mov", "mp4", "3gp", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "ogg", "mxf"),
        *(
            "nut",
            "ivf",
            "apng",
            "image2",
            "h264",
            "hevc",
            "m4v",
            "av1",
            "obu",
            "gif",
            "rm",
            "dv",
            "vob",
            "yuv4mpegpipe",
        ),
    )
)


_PICTURES = frozenset(("avif", "avis", "mif1", "msf1", "heic", "heix", "hevc", "heim", "heis"))
"""Brands of picture files; those with an animation also have a track for it."""


def open_container(path: Path, rate: float | None = None, device: str | None = None) -> Any:
    """Open a clip as a PyAV container.

    Args:
        path: a file, or a folder of numbered pictures (`pictures.sequence_in`).
        rate: pictures per second of such a folder; None means `pictures.USUAL_RATE`.
        device: FFmpeg name of the hardware device to decode on (`hardware.decoding_device`), if it can.

    Raises:
        InputError: it cannot be opened, or is not a clip.
    """
    import av

    try:
        if path.is_dir() and (pictures := sequence_in(path)) is not None:
            return _opened_pictures(pictures, rate)
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file" if path.exists() else "no such file"
            raise InputError(f"cannot open video: {kind}", path=path)
        if path.stat().st_size == 0:
            raise InputError("cannot open video: empty file", path=path)
        container = _opened(path, device)
    except (av.FFmpegError, OSError) as error:
        raise unusable(error, path, "cannot open video") from error
    brand = container.metadata.get("major_brand", "").strip()
    if brand in _PICTURES and max((stream.frames for stream in container.streams.video), default=0) <= 1:
        container.close()
        raise InputError("cannot open video: a picture, not a clip", path=path)
    if not _CONTAINERS & set(container.format.name.split(",")):
        name = container.format.name
        container.close()
        raise InputError(f"cannot open video: {name} is not a clip format", path=path)
    return container


def _opened(path: Path, device: str | None) -> Any:
    import av
    from av.codec.hwaccel import HWAccel

    # `file:` and the whitelist: neither the name nor references inside the file can be network addresses or protocols.
    name, options = f"file:{path}", {"protocol_whitelist": "file"}
    mended = mended_file(path)
    if mended is not None:
        return av.open(mended, metadata_errors="replace", options=options)
    frames = animated_webp(path)
    if frames is not None:
        return av.open(frames, options=options)
    if device is not None:
        with suppress(av.FFmpegError, RuntimeError):  # then as without
            return av.open(name, metadata_errors="replace", options=options, hwaccel=HWAccel(device))
    try:
        return av.open(name, metadata_errors="replace", options=options)
    except (av.error.InvalidDataError, av.error.EOFError):
        # A fragmented MP4 truncated inside a fragment header: the part before is readable if the index is not built in
        # advance.
        return av.open(name, metadata_errors="replace", options=options | {"fflags": "+ignidx"})


def _opened_pictures(pictures: Pictures, rate: float | None) -> Any:
    import av

    options = {"framerate": str(rate or USUAL_RATE), "start_number": str(pictures.first), "protocol_whitelist": "file"}
    return av.open(f"file:{pictures.pattern}", format="image2", options=options)


def packets_of(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """Packets of some tracks, including empty ones, up to the end of the file.

    Raises:
        av.FFmpegError: the rest of the file cannot be read.
    """
    # At the end, PyAV raises IndexError for tracks that appear later in the file than its header declares.
    with suppress(IndexError):
        yield from container.demux(streams)


def says_alpha(stream: Any) -> bool:
    """Whether a Matroska track declares alpha."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def unusable(error: BaseException, path: Path, what: str) -> InputError | ResourceError:
    import av

    if isinstance(error, MemoryError):
        known = resource_error_from(error, path)
        if known is not None:
            return known
    if isinstance(error, av.error.InvalidDataError):
        return InputError(f"{what}: not a readable clip, or its index is missing (truncated?)", path=path)
    reason = getattr(error, "strerror", None) or type(error).__name__
    return InputError(f"{what}: {str(reason).lower()}", path=path)


def video_stream(container: Any, path: Path) -> Any:
    import av

    covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    videos = [s for s in container.streams.video if not s.disposition & covers]
    if not videos:
        audio_only = " (audio only)" if container.streams.audio else ""
        raise InputError(f"cannot open video: no video track{audio_only}", path=path)
    if container.metadata.get("major_brand", "").strip() in _PICTURES:
        return max(videos, key=lambda stream: stream.frames)  # the others are stills
    marked = [s for s in videos if s.disposition & av.stream.Disposition.default]
    return (marked or videos)[0]
