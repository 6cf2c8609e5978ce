"""`-` in place of a file: pipes give the same results as files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derain_cli.cli import main, route
from derain_cli.media.clip.reader import open_clip
from tests.cli.conftest import listed, noise, photo
from tests.sample_clips import write_clip

Piped = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Piped:
    """`piped(data, *argv)` runs the program with `data` on standard input; returns exit code, stdout and messages."""

    def call(data: bytes, *argv: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        capsysbinary.readouterr()
        code = main(list(argv))
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()

    return call


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


# --- photos -------------------------------------------------------------------------------------------------------


def test_a_photo_from_pipe_to_pipe(piped: Piped) -> None:
    data = photo("a.png").read_bytes()
    code, out, err = piped(data, "-", "-o", "-")
    assert code == 0
    assert np.array_equal(pixels_of(out), noise())  # the network of these tests changes nothing
    assert "standard input -> standard output" in err
    assert listed() == ["a.png"]


def test_bytes_are_those_that_a_file_gets(piped: Piped) -> None:
    photo("a.jpg")
    assert piped(b"", "a.jpg", "-o", "b.jpg")[0] == 0
    assert piped(Path("a.jpg").read_bytes(), "-", "-o", "-")[1] == Path("b.jpg").read_bytes()


def test_from_pipe_to_file_and_from_file_to_pipe(piped: Piped) -> None:
    data = photo("a.png").read_bytes()
    assert piped(data, "-", "-o", "out/b.webp")[0] == 0
    assert Image.open("out/b.webp").format == "WEBP"
    code, out, _ = piped(b"", "a.png", "-o", "-")
    assert code == 0 and np.array_equal(pixels_of(out), noise())


def test_the_format_goes_by_the_content_unless_named(piped: Piped) -> None:
    data = photo("a.jpg").read_bytes()
    assert Image.open(io.BytesIO(piped(data, "-", "-o", "-")[1])).format == "JPEG"
    assert Image.open(io.BytesIO(piped(data, "-", "-o", "-", "--format", "png")[1])).format == "PNG"


@pytest.mark.parametrize(
    ("data", "argv", "code", "told"),
    [
        (b"", ["-", "-o", "-"], 3, "standard input: no data"),
        (b"no picture", ["-", "-o", "-"], 3, "standard input: "),
        (b"x", ["-"], 2, "-o FILE, or -o - for a pipe"),
        (b"x", ["-", "b.jpg", "-o", "-"], 2, "one input at a time"),
        (b"x", ["-", "-", "-o", "-"], 2, "one input at a time"),
        (b"x", ["-", "-o", "-", "--compare"], 2, "--compare needs a file as output"),
        (b"x", ["-", "-o", "-", "--json"], 2, "--json needs a file as output"),
        (b"x", ["-", "-o", "-", "--format", "gif"], 2, "cannot write 'gif'"),
        (b"x", [".", "-o", "-"], 2, "only one picture or clip"),
        (b"x", ["gone.jpg", "-o", "-"], 4, "no such file"),
        (b"x", ["video", "-", "-o", "-"], 4, "standard input: "),
        (b"x", ["video", "-", "-o", "-", "--keep-partial"], 2, "--keep-partial needs a file as output"),
        (b"x", ["eval", "-"], 2, "derain eval does not support pipes"),
    ],
)
def test_one_mistake_is_one_line_and_nothing_is_sent(
    piped: Piped, data: bytes, argv: list[str], code: int, told: str
) -> None:
    ended, out, err = piped(data, *argv)
    errors = [line for line in err.splitlines() if line.startswith("derain: error: ")]
    assert (ended, out, len(errors)) == (code, b"", 1), err
    assert told in errors[0]


def test_a_truncated_photo_sends_nothing(piped: Piped) -> None:
    data = photo("a.jpg", height=200, width=300).read_bytes()
    code, out, err = piped(data[: len(data) // 2], "-", "-o", "-")
    assert (code, out) == (3, b"") and "standard input: truncated" in err


def test_temporary_files_are_gone(piped: Piped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    for data in (photo("a.png").read_bytes(), b"no picture"):
        piped(data, "-", "-o", "-")
        assert list(place.iterdir()) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "argv"), [("stdin", ["-", "-o", "-"]), ("stdout", ["a.png", "-o", "-"])])
def test_a_terminal_is_no_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: str, argv: list[str]
) -> None:
    photo("a.png")
    monkeypatch.setattr(sys, stream, Terminal())
    assert main(argv) == 2
    assert "is a terminal" in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_ends_the_command(weights: Path, unbuffered: str) -> None:
    photo("a.png", height=300, width=400)  # more than the capacity of a pipe
    command = [sys.executable, "-m", "derain_cli", "a.png", "-o", "-"]
    environment = dict(os.environ) | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        told = process.stderr.read().decode()
    assert process.returncode == 141
    assert "Traceback" not in told and "error" not in told


# --- clips --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "container"), [(None, "matroska"), ("mkv", "matroska"), ("ts", "mpegts"), ("y4m", "yuv4mpegpipe")]
)
def test_a_clip_from_pipe_to_pipe(piped: Piped, format: str | None, container: str) -> None:
    import av

    source = write_clip("a.mp4", frames=5)
    wanted = [] if format is None else ["--format", format]
    code, out, err = piped(source.read_bytes(), "video", "-", "-o", "-", *wanted)
    assert code == 0, err
    with av.open(io.BytesIO(out)) as sent:
        assert container in sent.format.name
    Path("b").write_bytes(out)
    with open_clip("b") as there, open_clip(source) as was:
        assert [f.pixels.shape for f in there.frames()] == [f.pixels.shape for f in was.frames()]


def test_what_is_to_become_a_clip_goes_to_the_video_command() -> None:
    assert route(["-", "-o", "-", "--format", "mkv"])[0] == "video"
    assert route(["-", "-o", "b.mp4"])[0] == "video"
    assert route(["-", "-o", "-", "--format=y4m"])[0] == "video"
    assert route(["-", "-o", "b.jpg"])[0] == "derain"
    assert route(["-", "-o", "-"])[0] == "derain"
