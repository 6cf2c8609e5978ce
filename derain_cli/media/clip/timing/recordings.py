"""Consecutive recordings in one file: each restarts the clock, and a continuous time line is made.

Transport and program streams may be concatenated byte by byte, as dash-cams and `cat` do, and so may Matroska files.
FFmpeg returns their timestamps unchanged. Here every byte position has a shift, which is added to the timestamps of
packets that start there; it is the same for all tracks, so that sound and picture stay in sync.

The start of a recording is found from the structure of Matroska files, and from decoding times in the other formats.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli.media.clip.container import open_container, packets_of
from derain_cli.media.clip.damage.holes import appended

__all__ = ["Recordings"]

_BACK = Fraction(1, 10)
"""Seconds that decoding times may step back due to damage without starting a new recording (as in ffmpeg)."""
_FORTH, _TIMES = 10, 20
"""Seconds, and usual steps of a track, that decoding times may jump forward."""
_CONFIRM = 3
"""Packets of a track that must continue from a jump, including it; a damaged timestamp is isolated."""
_WAIT = 2
"""Seconds of a new recording to read ahead for the other tracks."""
_MOST = 2000
"""Maximum number of packets to read ahead."""
_BEHIND = 4 << 20
"""Bytes by which packets of a track may be returned late."""
_OVER = Fraction(1, 10)
"""Seconds by which the sound of two recordings may overlap, since audio packets are not aligned with pictures."""
_APART = 1
"""Largest plausible difference in seconds between decoding and display. At the end of a program stream, FFmpeg gives a
last picture without timestamp that of the next recording."""
_STREAMS = frozenset(["mpegts", "mpeg"])
"""Formats whose files can be concatenated."""


@dataclass(frozen=True)
class _Packet:
    """A sound or video packet; times in seconds as stored in the file."""

    track: int
    is_picture: bool
    is_key: bool
    position: int
    dts: Fraction
    pts: Fraction
    length: Fraction


@dataclass
class _Track:
    """Position of a track, in seconds of the time line."""

    position: int
    dts: Fraction
    length: Fraction
    shown_until: Fraction

    @classmethod
    def begun(cls, first: _Packet, shift: Fraction) -> _Track:
        return cls(first.position, first.dts + shift, first.length, first.pts + shift + first.length)

    @property
    def end(self) -> Fraction:
        return self.dts + self.length

    def follow(self, packet: _Packet, shift: Fraction) -> None:
        step = packet.dts + shift - self.dts
        self.length = packet.length or (step if 0 < step < 1 else self.length)
        self.dts, self.position = packet.dts + shift, packet.position
        self.shown_until = max(self.shown_until, packet.pts + shift + self.length)

    def is_jump(self, dts: Fraction, back: Fraction = _BACK) -> bool:
        return dts < self.dts - back or dts > self.end + max(Fraction(_FORTH), _TIMES * self.length)


@dataclass
class Recordings:
    """The shift for every byte position of a clip, determined on demand.

    Args:
        path: the file.
        container: FFmpeg name of its format.

    Attributes:
        starts: start times of the recordings after the first found so far, in seconds of the time line.
    """

    path: Path
    container: str
    starts: list[float] = field(default_factory=list)
    _shifts: list[tuple[int, Fraction]] = field(default_factory=list)
    _keys: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    _reach: dict[int, tuple[int, int]] = field(default_factory=dict)
    _sure: int = 0
    _reached: float = 0.0
    _asked: int = 0
    _scan: Iterator[int] | None = None
    _source: Any = None

    def __post_init__(self) -> None:
        heads = tuple(appended(self.path, self.container))
        if heads or _STREAMS & set(self.container.split(",")):
            self._scan = self._look(deque(heads))

    def place(self, packet: Any) -> None:
        """Shift the timestamps of a packet. Packets of a track must come in file order.

        Raises:
            InputError: the file can no longer be opened.
        """
        if self._scan is None and not self._shifts:
            return
        # A packet split from a larger one has no position: use that of the previous one.
        position = self._asked if packet.pos is None or packet.pos < 0 else packet.pos
        if self.container == "mpeg":
            packet.pts = _shown(packet)
        shift = self._shift_at(position)
        self._asked = position
        if shift:
            ticks = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks

    def key_before(self, track: int, seconds: float) -> int | None:
        """Byte position of the last key frame before a time in a later recording, where seeking by time is impossible;
        None if the time is in the first recording."""
        while self._scan is not None and self._reached < seconds + _WAIT:
            self._advance()
        if not self.starts or self.starts[0] > seconds:
            return None
        keys = [position for shown, position in self._keys.get(track, []) if shown <= seconds]
        return keys[-1] if keys else 0

    def last_beside(self, picture: int) -> int:
        """Byte position of the last packet, found so far, of all tracks that start before the last video packet
        (`picture`). Tracks that start later belong to a recording with its own tracks."""
        return max([picture, *(ends for begins, ends in self._reach.values() if begins < picture)])

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _shift_at(self, position: int) -> Fraction:
        while self._scan is not None and self._sure <= position:
            self._advance()
        at = bisect.bisect_right(self._shifts, position, key=lambda each: each[0])
        return self._shifts[at - 1][1] if at else Fraction(0)

    def _advance(self) -> None:
        sure = next(self._scan, None) if self._scan is not None else None
        if sure is None:
            self._scan = None
            self.close()
        else:
            self._sure = sure

    def _look(self, heads: deque[int]) -> Iterator[int]:
        """Determine shifts, from the start bytes of recordings if there are any; yields the byte position up to which
        shifts are known."""
        by_times = not heads
        packets = self._packets()
        waiting: deque[_Packet] = deque()
        tracks: dict[int, _Track] = {}
        shift = Fraction(0)
        last: dict[int, int] = {}
        while (packet := waiting.popleft() if waiting else next(packets, None)) is not None:
            track = tracks.get(packet.track)
            if track is None:
                tracks[packet.track] = _Track.begun(packet, shift)
            elif not (track.is_jump(packet.dts + shift) if by_times else heads and packet.position > heads[0]):
                track.follow(packet, shift)
            else:
                _wait(waiting, packets, packet)
                ahead = [packet, *waiting]
                if by_times and not _follows_on(ahead):
                    continue  # a damaged timestamp
                begun = _begun(tracks, ahead, shift) if by_times else _first_behind(heads.popleft(), ahead)
                if begun is None:
                    track.follow(packet, shift)  # only this track jumps: not a new recording
                    continue
                at = min(first.position for first in begun.values())
                for each in ahead:  # late packets of the previous recording
                    if each.position < at and each.track in tracks:
                        tracks[each.track].follow(each, shift)
                shift = _next_shift(tracks, begun)
                self._shifts.append((at, shift))
                self.starts.append(float(min(first.pts for first in begun.values()) + shift))
                for number, first in begun.items():
                    tracks[number].follow(first, shift)
                waiting = deque(each for each in ahead if each.position >= at)
            last[packet.track] = packet.position
            if packet.is_picture and packet.is_key:
                self._keys.setdefault(packet.track, []).append((float(packet.pts + shift), packet.position))
            begins, _ = self._reach.get(packet.track, (packet.position, 0))
            self._reach[packet.track] = begins, packet.position
            self._reached = max(self._reached, float(packet.dts + shift))
            yield max(min(last.values()), packet.position - _BEHIND)

    def _packets(self) -> Iterator[_Packet]:
        self._source = open_container(self.path)
        wanted = [s for s in self._source.streams if s.type in ("video", "audio")]
        last: dict[int, int] = {}
        for packet in _readable(packets_of(self._source, wanted)):
            # Matroska has no decoding times; FFmpeg makes them up, but stops once they decrease.
            dts = packet.pts if "matroska" in self.container else packet.dts
            if dts is None:
                continue
            known = packet.pos is not None and packet.pos >= 0
            position = last[packet.stream_index] = packet.pos if known else last.get(packet.stream_index, 0)
            yield _Packet(
                packet.stream_index,
                packet.stream.type == "video",
                packet.is_keyframe,
                position,
                dts * packet.time_base,
                (dts if packet.pts is None else _shown(packet)) * packet.time_base,
                (packet.duration or 0) * packet.time_base,
            )


def _shown(packet: Any) -> int | None:
    """Display time of a packet in ticks; implausible values are replaced."""
    if packet.pts is None or packet.dts is None or abs(packet.pts - packet.dts) * packet.time_base <= _APART:
        return packet.pts if packet.pts is None else int(packet.pts)
    return int(packet.dts + 2 * packet.duration)


def _readable(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets up to the first read error, which the reader of the clip reports."""
    import av

    with suppress(av.FFmpegError, OSError):
        yield from packets


def _first_behind(head: int, ahead: list[_Packet]) -> dict[int, _Packet]:
    """The first packets after a byte position, by track."""
    return {each.track: each for each in reversed(ahead) if each.position > head}


def _wait(waiting: deque[_Packet], packets: Iterator[_Packet], jumped: _Packet) -> None:
    """Read ahead until the other tracks should have reached the new recording, too."""
    while len(waiting) < _MOST:
        packet = next(packets, None)
        if packet is None:
            return
        waiting.append(packet)
        if packet.track == jumped.track and packet.dts > jumped.dts + _WAIT:
            return


def _follows_on(ahead: list[_Packet]) -> bool:
    """Whether the next packets of the first packet's track continue from it."""
    own = [each for each in ahead if each.track == ahead[0].track][:_CONFIRM]
    track = _Track.begun(own[0], Fraction(0))
    for each in own[1:]:
        if track.is_jump(each.dts):
            return False
        track.follow(each, Fraction(0))
    return True


def _begun(tracks: Mapping[int, _Track], ahead: list[_Packet], shift: Fraction) -> dict[int, _Packet] | None:
    """The first packets of a new recording, by track; None if another track continues without a jump."""
    begun: dict[int, _Packet] = {ahead[0].track: ahead[0]}
    for number, track in tracks.items():
        if number == ahead[0].track:
            continue
        reached = _Track(track.position, track.dts, track.length, track.shown_until)
        own = [each for each in ahead if each.track == number]
        for each in own:
            if reached.is_jump(each.dts + shift, back=Fraction(0)):
                begun[number] = each
                break
            reached.follow(each, shift)
        else:
            if own and own[-1].position > ahead[0].position:
                return None
    return begun


def _next_shift(tracks: Mapping[int, _Track], begun: Mapping[int, _Packet]) -> Fraction:
    """The smallest shift that places pictures of the new recording after the end of the previous one, and sound after
    it up to a small overlap."""
    least = []
    for number, first in begun.items():
        track = tracks[number]
        if first.is_picture:
            least.append(track.end - first.dts)
            if first.is_key:
                least.append(track.shown_until - first.pts)
        else:
            least.append(track.end - first.dts - _OVER)
    return max(least)
