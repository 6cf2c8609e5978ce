"""File layouts of data sets: templates that define pairs."""

from __future__ import annotations

from derain_cli.datasets.layouts import Layout
from derain_cli.datasets.pairs import list_photos
from tests.standins import make_layout

SIDE_BY_SIDE = [Layout("{n}", halves="clean|rainy"), Layout("{n}", halves="rainy|clean")]


def test_layouts_say_what_they_are():
    assert str(Layout("rain/{n}", "norain/{n}")) == "rain/{n}.* and norain/{n}.*"
    assert str(SIDE_BY_SIDE[0]) == "{n}.* (clean half left, rainy half right)"
    assert str(Layout("{n}")) == "{n}.*"


def test_a_layout_tells_what_lacks_its_partner(tmp_path):
    layout = Layout("rain/norain-{n}x2", "norain/norain-{n}")
    made = make_layout(layout, tmp_path, 4)
    made[0][0].unlink()
    made[1][1].unlink()
    (tmp_path / "rain" / "else.png").write_bytes(b"")
    found = layout.find(tmp_path, list_photos(tmp_path))
    assert {(p.rainy, p.clean) for p in found.pairs} == set(made[2:])
    assert set(found.alone) == {made[0][1], made[1][0]}
    assert len(found) == 2


def test_case_and_endings_do_not_count(tmp_path):
    for name in ("Rain/NoRain-1X2.PNG", "NORAIN/norain-1.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    found = Layout("rain/norain-{n}x2", "norain/norain-{n}").find(tmp_path, list_photos(tmp_path))
    assert [(p.rainy.name, p.clean.name) for p in found.pairs] == [("NoRain-1X2.PNG", "norain-1.jpg")]
