"""Which files are opened as clips, and how others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.errors import InputError
from derain_cli.media.clip.reader import open_clip
from tests.media.clip.reading import LONG, cut, read
from tests.sample_clips import write_clip, write_sound


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("zero.mp4", b"", "empty file"),
        ("junk.mp4", bytes(range(256)) * 40, "not a readable clip"),
        ("text.mp4", b"hello\n" * 500, "not a readable clip"),
        ("text.txt", b"hello\n" * 500, "not a clip format"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n", "cannot open video"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile /etc/hostname\n", "cannot open video"),
    ],
)
def test_what_is_no_clip_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"cannot open video: .*{reason}|{reason}") as caught:
        open_clip(path)
    assert "\n" not in str(caught.value)
    assert caught.value.path == path


def test_a_folder_a_missing_file_sound_alone_and_half_an_mp4_are_refused(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path, "a folder"),
        (tmp_path / "none.mp4", "no such file"),
        (write_sound(tmp_path / "a.m4a"), "audio only"),
        (cut(write_clip(tmp_path / "a.mp4", **LONG), 0.5), "index is missing"),
    ]:
        with pytest.raises(InputError, match=reason):
            open_clip(path)


def test_names_are_never_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip("a.mp4").rename("concat:a.mp4")
    frames, _ = read("concat:a.mp4")
    assert len(frames) == 12
