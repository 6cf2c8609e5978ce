"""Restored clips joined: what is looked at before the work, the file whole or absent."""

from __future__ import annotations

import shutil
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from derain_cli.config import VideoOptions
from derain_cli.errors import DestinationError, InputError, ResourceError, UsageError
from derain_cli.jobs.clips.join import JoinOutcome, join_clips, natural_order, require_alike
from derain_cli.jobs.clips.outcome import ClipOutcome
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.jobs.items import Item
from derain_cli.jobs.made import MadeRecord
from derain_cli.media.clip.joining import join
from tests.jobs.clips.conftest import IDENTITY, QUICK, good, leftovers
from tests.sample_clips import times_of, write_clip


def restored(folder: Path, *sources: Path, rate: Fraction | None = None) -> list[Item]:
    items = [Item(str(source), str(folder / f"dry_{source.name}")) for source in sources]
    told: list[ClipOutcome] = []
    restore_clips(items, IDENTITY, VideoOptions(**QUICK), coded_rate=rate, report=told.append)
    assert all(good(outcome) for outcome in told)
    return items


def joined(target: Path, pieces: list[Item], **more: Any) -> JoinOutcome:
    item = Item(pieces[0].source, str(target), further=tuple(piece.source for piece in pieces[1:]))
    return join_clips(item, pieces, **more)


def test_names_are_ordered_as_people_count() -> None:
    names = ["b/clip2.mp4", "b/clip10.mp4", "a/clip11.mp4", "b/Clip1.mp4", "b/clip.mp4"]
    assert sorted(names, key=natural_order) == [
        "a/clip11.mp4", "b/Clip1.mp4", "b/clip2.mp4", "b/clip10.mp4", "b/clip.mp4",
    ]  # fmt: skip


def test_clips_whose_rates_differ_a_little_are_coded_so_that_they_can_be_joined(tmp_path: Path) -> None:
    # As cameras write them: the last frame of each is a little longer or shorter, and so the average rate differs.
    times = [[512 * n for n in range(11)] + [last] for last in (5632, 5700)]
    sources = [write_clip(tmp_path / f"{n}.mp4", pts=pts, audio=["aac"]) for n, pts in enumerate(times)]
    items = [Item(str(source), str(tmp_path / f"dry_{source.name}")) for source in sources]
    rate = require_alike(items, VideoOptions(**QUICK))
    outcome = joined(tmp_path / "all.mp4", restored(tmp_path, *sources, rate=rate))
    assert outcome.error is None and outcome.frames == 24
    assert times_of(tmp_path / "all.mp4")[:12] == times_of(sources[0])
    alone = restored(tmp_path / "alone", *sources)
    failed = joined(tmp_path / "no.mp4", alone)
    assert isinstance(failed.error, InputError) and "coded with other settings" in failed.error.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 64}, "64x32 pixels, not 48x32"),
        ({"rate": Fraction(50)}, "50 frames a second, not 25"),
        ({"audio": []}, "sound is none"),
        ({"pix_fmt": "yuv444p"}, "would be coded as h264 yuv444p, not h264 yuv420p"),
        ({"colours": (2, 1, 13, 1)}, "has colours of another kind"),
    ],
)
def test_what_cannot_be_joined_is_refused_before_the_work(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    one = write_clip(tmp_path / "one.mp4", audio=["aac"])
    other = write_clip(tmp_path / "other.mp4", **({"audio": ["aac"]} | changes))
    items = [Item(str(path), str(tmp_path / f"dry_{path.name}")) for path in (one, other)]
    with pytest.raises(UsageError, match=words) as caught:
        require_alike(items, VideoOptions())
    assert caught.value.path == other and str(one) in caught.value.reason
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    assert require_alike([Item(str(tmp_path / "junk.mp4"), "x.mp4"), items[0]], VideoOptions()) == 25


def test_the_file_is_whole_or_absent_and_what_made_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [write_clip(tmp_path / f"{n}.mp4", frames=20) for n in range(3)]
    pieces, target = restored(tmp_path, *sources), tmp_path / "all.mp4"

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    def slow(*arguments: Any) -> Any:
        time.sleep(0.5)
        return join(*arguments)

    monkeypatch.setattr("derain_cli.jobs.clips.join.join", slow)
    with pytest.raises(KeyboardInterrupt):
        joined(target, pieces, progress=stop)
    monkeypatch.undo()
    assert not target.exists() and leftovers(tmp_path) == []
    record = MadeRecord({"model": "none"})
    outcome = joined(target, pieces, record=record)
    assert outcome.error is None and outcome.frames == 60
    assert record.problem(outcome.item, afresh=True) is None
    fewer = Item(outcome.item.source, outcome.item.target, further=outcome.item.further[:1])
    assert isinstance(record.problem(fewer), DestinationError)
    again = joined(target, pieces)
    assert isinstance(again.error, DestinationError)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    full = joined(tmp_path / "b.mp4", pieces)
    assert isinstance(full.error, ResourceError) and not (tmp_path / "b.mp4").exists()
