"""Interrupted and killed jobs are resumed with the same result."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derain_cli.config import VideoOptions
from derain_cli.errors import DestinationError
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.outcome import ClipOutcome, Pace
from derain_cli.jobs.clips.parts import forget_work, work_folder
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.jobs.items import Item
from derain_cli.system.locks import locked
from tests.jobs.clips.conftest import QUICK, each, failing_after, good, leftovers, restore
from tests.sample_clips import times_of, write_clip


@pytest.mark.parametrize("temporal", ["off", "median", "flow"])
@pytest.mark.parametrize("changes", [{"audio": ["aac"]}, {"pts": [100 + 512 * n + 7 * (n % 3) for n in range(33)]}])
def test_a_job_that_goes_on_gives_the_very_same_file(tmp_path: Path, temporal: Any, changes: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mp4", **({"frames": 33} | changes))
    whole, target = tmp_path / "whole.mp4", tmp_path / "b.mp4"
    engine, _ = failing_after(-1)
    good(restore(source, whole, engine, temporal=temporal))
    broken, _ = failing_after(19)
    assert restore(source, target, broken, temporal=temporal).error is not None
    assert not target.exists()
    rest, done = failing_after(-1)
    outcome = good(restore(source, target, rest, temporal=temporal))
    assert outcome.resumed == 15
    assert done[0] == 33 - 15 + 1  # one earlier frame for the temporal filter
    assert target.read_bytes() == whole.read_bytes()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_clip_with_a_hole_goes_on_to_the_very_same_file(tmp_path: Path, suffix: str, share: float) -> None:
    base = Fraction(1, 1000) if suffix == "mkv" else Fraction(1, 90000)
    options = {"preset": "ultrafast", "g": "10", "bf": "2"}
    source = write_clip(
        tmp_path / f"a.{suffix}",
        frames=80,
        time_base=base,
        options=options,
        container={"cluster_time_limit": "300"} if suffix == "mkv" else {},
    )
    whole = source.read_bytes()
    at = int(len(whole) * share)
    source.write_bytes(whole[:at] + bytes(600) + whole[at + 600 :])
    one, other = tmp_path / "one.mkv", tmp_path / "other.mkv"
    engine, _ = failing_after(-1)
    outcome = restore(source, one, engine, temporal="flow")
    assert outcome.error is None and any("damaged" in note for note in outcome.notes)
    for count in (12, 20, 15):
        broken, _ = failing_after(count)
        restore(source, other, broken, temporal="flow")
    outcome = restore(source, other, engine, temporal="flow")
    assert outcome.error is None and outcome.resumed >= 30
    assert other.read_bytes() == one.read_bytes()


def test_frames_go_through_in_batches_and_a_job_that_goes_on_makes_the_same_ones(tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "a.mp4", frames=33), tmp_path / "b.mp4"
    batches: list[list[int]] = []

    def engine(fail_after: int) -> FrameRestorer:
        made: list[list[int]] = []

        def run(pictures: Sequence[Any]) -> list[Any]:
            if len(made) == fail_after:
                raise RuntimeError("broke down")
            made.append([int(p[:, :, 2].max()) for p in pictures])
            batches.append(made[-1])
            # The result depends on the batch, as on a GPU.
            return [
                np.clip(p.astype(int) + len(pictures) + place, 0, 255).astype(np.uint8)
                for place, p in enumerate(pictures)
            ]

        return FrameRestorer(run, "company", batch=4)

    good(restore(source, tmp_path / "whole.mp4", engine(-1), temporal="flow", segment=10))
    unbroken, batches[:] = [*batches], []
    assert [len(batch) for batch in unbroken] == [4] * 8 + [1]
    assert restore(source, target, engine(7), temporal="flow", segment=10).error is not None
    batches.clear()
    assert good(restore(source, target, engine(-1), temporal="flow", segment=10)).resumed == 20
    assert batches == unbroken[4:]
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_another_job_does_not_take_the_segments(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=20)
    broken, _ = failing_after(12)
    restore(source, tmp_path / "b.mp4", broken)
    outcome = good(restore(source, tmp_path / "b.mp4", crf=30))
    assert outcome.resumed == 0


def test_a_segment_that_was_damaged_meanwhile_is_made_again(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=20)
    broken, _ = failing_after(12)
    restore(source, tmp_path / "b.mp4", broken)
    second = work_folder(tmp_path / "b.mp4") / "000001.mkv"
    second.write_bytes(second.read_bytes()[:-10])
    engine, _ = failing_after(-1)
    assert good(restore(source, tmp_path / "b.mp4", engine)).resumed == 5


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.fault(74)
def test_stopping_leaves_no_final_file_and_the_job_goes_on(tmp_path: Path, keep: bool) -> None:
    source, target = write_clip(tmp_path / "a.mp4", frames=40, audio=["aac"]), tmp_path / "b.mp4"
    told: list[ClipOutcome] = []

    def slow(pixels: Any) -> Any:
        time.sleep(0.01)
        return pixels

    def stop(index: int, pace: Pace) -> None:
        if pace.done >= 12:
            raise KeyboardInterrupt

    wanted = VideoOptions(**(QUICK | {"keep_partial": keep}))
    items = [Item(str(source), str(target)), Item(str(source), str(tmp_path / "c.mp4"))]
    with pytest.raises(KeyboardInterrupt):
        restore_clips(items, each(slow, "slow"), wanted, report=told.append, progress=stop)
    assert [o.stopped for o in told] == [True]
    assert not target.exists()
    part = tmp_path / "b_partial.mp4"
    assert part.exists() == keep
    if keep:
        times = times_of(part)
        assert times == times_of(source)[: len(times)] and len(times) >= 12
    assert good(restore(source, target, each(slow, "slow"))).resumed >= 10
    assert times_of(target) == times_of(source)


def test_two_processes_do_not_share_a_job(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    source, target = write_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    folder = work_folder(target)
    folder.mkdir()
    with locked(folder, target):
        assert isinstance(restore(source, target).error, DestinationError)


def test_work_of_an_output_that_is_there_is_forgotten(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=20)
    broken, _ = failing_after(12)
    restore(source, tmp_path / "b.mp4", broken)
    assert leftovers(tmp_path)
    forget_work(tmp_path / "b.mp4")
    assert leftovers(tmp_path) == []


_KILLED = """
import sys, time
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.config import VideoOptions
from derain_cli.jobs.outputs import Item

def slow(pictures):
    time.sleep(0.02)
    return [255 - pixels for pixels in pictures]

options = VideoOptions(temporal="flow", segment=5, preset="ultrafast")
restore_clips([Item(sys.argv[1], sys.argv[2])], FrameRestorer(slow, "inverse"), options, report=print)
"""


@pytest.mark.fault(74)
def test_a_killed_process_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "a.mp4", frames=60, audio=["aac"]), tmp_path / "b.mp4"
    engine, _ = failing_after(-1)
    good(restore(source, tmp_path / "whole.mp4", engine, temporal="flow"))
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(source), str(target)])
    kept = work_folder(target) / "000002.json"
    end = time.monotonic() + 120
    while not kept.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert kept.exists() and not target.exists()
    assert good(restore(source, target, engine, temporal="flow")).resumed >= 15
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert leftovers(tmp_path) == []


def test_what_a_killed_run_left_of_a_finished_output_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = write_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    monkeypatch.setattr("derain_cli.jobs.clips.parts.Parts.remove", lambda self: None)  # killed after renaming
    good(restore(source, target))
    assert leftovers(tmp_path)
    forget_work(target)
    assert leftovers(tmp_path) == [] and target.exists()
