"""Outcome of an item with an error, for any job: the message, and whether other items are tried."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from derain_cli.errors import (
    DestinationError,
    DeviceLostError,
    InputError,
    OutOfMemoryError,
    ResourceError,
    WeightsError,
)
from derain_cli.jobs.clips.outcome import ClipOutcome
from derain_cli.jobs.frame_set.plan import Source
from derain_cli.jobs.frame_set.study import SourceOutcome
from derain_cli.jobs.items import Item
from derain_cli.jobs.outcome import Outcome
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.jobs.synth.pairs import PhotoTask
from derain_cli.jobs.synth.run import SynthOutcome

ITEM = Item("a.png", "b.png")


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class AcceleratorError(RuntimeError):
    """As named by torch."""


@pytest.mark.parametrize(
    ("error", "told", "fatal"),
    [
        (full_disk(), ResourceError, True),
        (RuntimeError("serializing: (os error 28)"), ResourceError, True),
        (ResourceError("the written picture cannot be read back"), ResourceError, True),
        (RuntimeError("CUDA error: device-side assert"), DeviceLostError, True),
        (AcceleratorError("unspecified launch failure"), DeviceLostError, True),
        (MemoryError(), OutOfMemoryError, False),
        (OutOfMemoryError("out of memory even with one small tile"), OutOfMemoryError, False),
        (InputError("truncated"), InputError, False),
        (WeightsError("damaged"), WeightsError, False),
        (DestinationError("the destination already exists"), DestinationError, False),
        (ValueError("a bug"), ValueError, False),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), PermissionError, False),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("an item"),
        PhotoOutcome(ITEM, width=3),
        ClipOutcome(ITEM, frames=3),
        SynthOutcome(PhotoTask("a.png", "a.png", ())),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_every_job_judges_an_error_alike(outcome: Outcome[object], error: Exception, told: type, fatal: bool) -> None:
    failed = outcome.failed(error)
    assert type(failed) is type(outcome)
    assert failed.item == outcome.item
    assert type(failed.error) is told
    assert failed.error is error or failed.error.__cause__ is error
    assert failed.fatal is fatal


def test_what_was_known_before_stays() -> None:
    outcome = PhotoOutcome(ITEM, notes=("odd",), width=4, height=5).failed(InputError("truncated"))
    assert (outcome.width, outcome.height, outcome.notes) == (4, 5, ("odd",))


def test_a_full_disk_is_blamed_on_the_path_given_and_other_errors_keep_theirs() -> None:
    full, other = Outcome(1).failed(full_disk(), "out"), Outcome(1).failed(InputError("truncated", path="a"), "out")
    assert isinstance(full.error, ResourceError) and full.error.path == Path("out")
    assert isinstance(other.error, InputError) and other.error.path == Path("a")


def test_a_set_of_frames_has_one_folder_that_all_pictures_need() -> None:
    outcome = SourceOutcome(Source("a.mp4"))
    assert outcome.failed(DestinationError("not a folder")).fatal
    assert outcome.failed(full_disk()).fatal
    assert not outcome.failed(InputError("truncated")).fatal
