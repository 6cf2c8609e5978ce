"""Exit codes, one printable line for any name, and full disks as reported by different libraries."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derain_cli import errors
from derain_cli.errors import DerainError, ResourceError, printable, resource_error_from

CODES = {
    "DerainError": 1,
    "UsageError": 2,
    "InputError": 3,
    "NothingToDoError": 4,
    "WeightsError": 5,
    "ResourceError": 6,
    "OutOfMemoryError": 6,
    "DeviceLostError": 6,
    "WorkerDiedError": 6,
    "DestinationError": 7,
    "TrainingError": 3,
}


def test_exit_codes_are_the_documented_ones():
    found = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, DerainError)
    }
    assert found == CODES


@given(st.binary(min_size=1, max_size=80).filter(lambda raw: b"\0" not in raw))
def test_any_file_name_becomes_one_printable_line(raw):
    name = os.fsdecode(raw)
    text = printable(name)
    assert text.isprintable()
    text.encode()  # no lone surrogates, so it can be printed on any UTF-8 terminal
    assert printable(raw) == text
    whole = str(DerainError("cannot be read", path=name, hint=f"make {name} first"))
    assert whole.isprintable()
    assert len(whole.splitlines()) == 1
    whole.encode()


@given(st.text())
def test_any_reason_becomes_one_printable_line(text):
    assert str(DerainError(text)).isprintable()
    assert str(DerainError("x", hint=text)).isprintable()


@given(st.text(alphabet=st.characters(categories=["L", "N", "P"])))
def test_ordinary_names_stay_as_they_are(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a\nb.png", "a\\nb.png"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"\xff.png", "\\udcff.png"),
        ("naïve ☂.png".encode(), "naïve ☂.png"),
    ],
)
def test_what_is_escaped_and_how(raw, shown):
    assert printable(raw) == shown


def test_line_is_path_reason_and_way_out():
    assert str(DerainError("truncated", path="a/b.png", hint="copy it again")) == "a/b.png: truncated (copy it again)"
    assert str(DerainError("truncated", path=Path("b.png"))) == "b.png: truncated"
    assert str(DerainError("truncated")) == "truncated"


def _real_full_disk() -> OSError:
    with pytest.raises(OSError) as caught, open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"x")
    return caught.value


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
def test_a_disk_that_is_really_full():
    mapped = resource_error_from(_real_full_disk(), "out.png")
    assert mapped is not None
    assert mapped.exit_code == 6
    assert "no space left" in str(mapped)
    assert "out.png" in str(mapped)
    assert mapped.hint


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),  # Pillow, PyAV, plain files
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),  # torch.save
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),  # torch.save
        MemoryError(),
        ResourceError("no device cuda"),
    ],
    ids=lambda error: f"{type(error).__name__}-{str(error)[:30]}",
)
def test_every_way_of_reporting_a_full_disk_or_memory(error):
    mapped = resource_error_from(error, "run/weights.safetensors")
    assert isinstance(mapped, ResourceError)
    assert mapped.exit_code == 6


def test_a_resource_error_is_passed_on_unchanged():
    error = ResourceError("disk error", path="a")
    assert resource_error_from(error, "b") is error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "no such file"),
        OSError(errno.EACCES, "permission denied"),
        OSError("cannot identify image file"),
        ValueError("28"),
        RuntimeError("size mismatch for head.weight"),
        KeyError("x"),
    ],
    ids=repr,
)
def test_other_errors_are_not_taken_for_a_full_disk(error):
    assert resource_error_from(error) is None
