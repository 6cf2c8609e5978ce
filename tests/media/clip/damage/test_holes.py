"""Holes in the file structure: all are found from any start, and none in intact clips."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from derain_cli.media.clip.damage.holes import holes
from tests.media.clip.damage.breaking import KINDS, VARIABLE, make, sound


@pytest.mark.parametrize("kind", KINDS | VARIABLE)
def test_a_whole_clip_is_never_reported(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    sound(path)
    with av.open(str(path)) as file:
        container = file.format.name
    assert [hole for _, hole in holes(path, container) if hole is not None] == []


def test_the_walk_begins_anywhere(tmp_path: Path) -> None:
    for kind in ("matroska, with sound, short clusters", "transport stream, with sound"):
        path = make(tmp_path, kind)
        data = path.read_bytes()
        at = len(data) * 6 // 10
        path.write_bytes(data[:at] + bytes(900) + data[at + 900 :])
        with av.open(str(path)) as file:
            name = file.format.name
        found = [hole.position for _, hole in holes(path, name) if hole is not None]
        assert found and all(at - 3000 < place <= at + 6000 for place in found)
        for start in range(0, at - 4000, 977):
            assert [h.position for _, h in holes(path, name, start) if h is not None] == found
        assert [h for _, h in holes(path, name, found[-1] + 4000) if h is not None] == []
