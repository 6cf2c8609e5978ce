"""Photos to add rain to."""

from __future__ import annotations

import pytest

from derain_cli.media.photo import write_rgb


@pytest.fixture
def photos(tmp_path, picture):
    """A folder of three photos and one in a subfolder."""
    for number, name in enumerate(("a.png", "b.png", "rainbow.png", "sub/a.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rgb(path, picture(40 + number, 60, seed=number))
    return tmp_path / "photos"
