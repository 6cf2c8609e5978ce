"""The record of how outputs were made, for inputs that are folders: clips of numbered pictures.

What it does for files is in the tests of `derain` and `derain video`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from derain_cli.jobs.items import Item
from derain_cli.jobs.made import MadeRecord


@pytest.fixture
def item(tmp_path: Path) -> Item:
    folder, output = tmp_path / "pictures", tmp_path / "clip.mp4"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(bytes([number]))
    output.write_bytes(b"clip")
    MadeRecord({"strength": 1.0}).add(Item(str(folder), str(output)), 4)
    return Item(str(folder), str(output))


def problem(item: Item, strength: float = 1.0) -> str | None:
    found = MadeRecord({"strength": strength}).problem(item)
    return None if found is None else str(found)


def test_a_folder_that_is_as_it_was_is_done(item: Item) -> None:
    assert problem(item) is None
    for each in Path(item.source).iterdir():
        os.utime(each, (1, 1))  # touched or copied, but identical
    assert problem(item) is None


@pytest.mark.parametrize("change", ["more", "changed", "renumbered"])
def test_a_folder_that_has_changed_is_told(item: Item, change: str) -> None:
    folder = Path(item.source)
    if change == "more":
        (folder / "3.png").write_bytes(b"3")
    elif change == "changed":
        (folder / "1.png").write_bytes(b"x")
        os.utime(folder / "1.png", (2**31, 2**31))
    else:
        (folder / "2.png").rename(folder / "3.png")
        os.utime(folder / "3.png", (2**31, 2**31))
    assert "another input" in (problem(item) or "")


def test_other_settings_are_told(item: Item) -> None:
    assert "strength 1.0, not 0.5" in (problem(item, 0.5) or "")
