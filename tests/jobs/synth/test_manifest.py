"""The manifest: its content, and how it separates pairs."""

from __future__ import annotations

import pytest

from derain_cli.errors import DestinationError
from derain_cli.jobs.synth.manifest import MANIFEST
from derain_cli.jobs.synth.options import SynthOptions
from derain_cli.jobs.synth.plan import plan_synthesis
from derain_cli.jobs.synth.run import synthesize
from derain_cli.media.photo import write_rgb
from tests.jobs.synth.making import content, make, manifest


def test_the_manifest_says_what_was_made_of_what(photos, tmp_path):
    make(photos, tmp_path / "out", seed=7, profiles=("heavy",), recursive=True)
    says = manifest(tmp_path / "out")
    assert says["complete"] is True
    assert says["rain"] == {"profile": "heavy", "seed": 7, "target": "streak-free", "max_side": None}
    assert says["sources"] == {
        "a": "../photos/a.png",
        "b": "../photos/b.png",
        "rainbow": "../photos/rainbow.png",
        "sub__a": "../photos/sub/a.png",
    }
    assert says["version"]


def test_the_manifest_is_there_before_the_pairs_and_says_when_some_are_missing(photos, tmp_path):
    out = tmp_path / "out"
    (photos / "b.png").write_bytes(b"junk")
    seen = []
    options = SynthOptions()
    todo = plan_synthesis([str(photos)], out, options)
    assert not synthesize(todo, options, report=lambda outcome: seen.append(manifest(out)["complete"]))
    assert seen == [False] * 3
    assert manifest(out)["complete"] is False
    assert list(manifest(out)["sources"]) == ["a", "rainbow"]


@pytest.mark.parametrize("changed", [{"seed": 1}, {"target": "clean"}, {"max_side": 20}, {"profiles": ("light",)}])
def test_pairs_of_other_rain_replace_these_or_stay_out(photos, tmp_path, changed):
    out = tmp_path / "out"
    make(photos, out)
    before = content(out)
    with pytest.raises(DestinationError, match=next(iter(changed)).rstrip("s").replace("_", " ")):
        make(photos, out, **changed)
    assert content(out) == before
    make(photos, out, overwrite=True, **changed)
    make(photos, tmp_path / "fresh", **changed)
    assert content(out) == content(tmp_path / "fresh")


@pytest.mark.parametrize("changed", [{"format": "webp"}, {"variants": 2}, {"profiles": ("real", "light")}])
@pytest.mark.parametrize("overwrite", [False, True])
def test_pairs_of_another_layout_stay_out(photos, tmp_path, changed, overwrite):
    make(photos, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(DestinationError):
        make(photos, tmp_path / "out", overwrite=overwrite, **changed)
    assert content(tmp_path / "out") == before


def test_pairs_of_somebody_else_are_not_mixed_with_ours(photos, tmp_path, pairs):
    out = pairs(tmp_path / "out", count=1)
    with pytest.raises(DestinationError, match="not created by"):
        make(photos, out)
    with pytest.raises(DestinationError, match="not created by"):
        # Otherwise the folders next to rain/ would not be found.
        make(photos, out, profiles=("light", "heavy"), overwrite=True)
    make(photos, out, overwrite=True)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"sources": [], "layout": {}, "rain": {}}', "[" * 100_000])
def test_a_damaged_manifest(photos, tmp_path, text):
    make(photos, tmp_path / "out")
    (tmp_path / "out" / MANIFEST).write_text(text)
    with pytest.raises(DestinationError, match="manifest"):
        make(photos, tmp_path / "out")
    make(photos, tmp_path / "out", overwrite=True)
    assert manifest(tmp_path / "out")["complete"] is True


def test_one_name_from_another_folder_is_told(photos, tmp_path, picture):
    make(photos, tmp_path / "out")
    (tmp_path / "more").mkdir()
    write_rgb(tmp_path / "more/a.png", picture(20, 20))
    todo, _ = make(tmp_path / "more", tmp_path / "out")
    assert todo.items == ()
    assert "photos/a.png" in todo.notes[0][1]
