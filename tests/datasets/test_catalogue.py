"""Every record of the registry, in every layout, location and split: found, paired correctly, counted, gaps noticed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from derain_cli.cli.hints import line_of
from derain_cli.datasets.catalogue import DATASETS, find_record
from derain_cli.datasets.opening import open_dataset
from derain_cli.datasets.pairs import read_pair
from derain_cli.errors import NothingToDoError, UsageError
from tests.standins import make_standin

RECORDS = list(DATASETS.values())
LAYOUTS = [(record, n) for record in RECORDS for n in range(len(record.layouts))]
PLACES = [
    (record, name, n) for record in RECORDS for name, split in record.splits.items() for n in range(len(split.places))
]


def by_name(item) -> str:
    return item.name if hasattr(item, "name") else str(item)


def as_made(view) -> set:
    return {(pair.rainy, pair.clean) for pair in view.pairs} | {(photo, photo) for photo in view.photos}


@pytest.mark.parametrize(("record", "layout"), LAYOUTS, ids=by_name)
def test_every_layout_of_every_set_is_paired_as_it_was_made(tmp_path, record, layout):
    split = [name for name, part in record.splits.items() if part.places][-1]
    made = make_standin(record, tmp_path, split, layout=layout)
    view = open_dataset(record.name, split, tmp_path)
    assert as_made(view) == set(made)
    assert view.rejected == ()
    assert view.record is record
    assert view.name == record.name
    assert bool(view.photos) == (not record.truth)
    assert {pair.halves for pair in view.pairs} <= {record.layouts[layout].halves}
    assert len(view.groups) == record.truth
    assert {group.name for group in view.groups} <= {record.name, f"{record.name}/{split}"}


@pytest.mark.parametrize(("record", "split", "place"), PLACES, ids=by_name)
def test_every_split_is_found_in_every_place(tmp_path, record, split, place):
    made = make_standin(record, tmp_path, split, place=place, count=3)
    view = open_dataset(record.name, split, tmp_path)
    assert as_made(view) == set(made)
    expected = record.split(split).count
    assert len(view.warnings) == (1 if expected else 0)
    for warning in view.warnings:
        assert f"3 {'pairs' if record.truth else 'pictures'} found, {expected:,} expected" in warning


@pytest.mark.parametrize("record", RECORDS, ids=by_name)
def test_a_set_that_is_not_there_says_where_to_get_it_and_how_to_lay_it_out(tmp_path, record):
    for split, part in record.splits.items():
        with pytest.raises(NothingToDoError) as caught:
            open_dataset(record.name, split, tmp_path)
        text = line_of(caught.value)
        assert record.page in text
        assert ("--download" in text) == bool(record.hub)
        assert "--data-root" in text
        assert str(tmp_path / part.places[0]) in text if part.places else ", ".join(part.parts) in text
        assert str(record.layouts[0]) in text if part.places else True


@pytest.mark.parametrize("record", RECORDS, ids=by_name)
def test_records_are_complete_and_their_parts_exist(record):
    assert record.page.startswith("https://")
    assert not re.search(r"huggingface|kaggle|baidu|mirror", record.page)
    assert record.about and record.licence.words
    for name, split in record.splits.items():
        assert bool(split.places) != bool(split.parts)
        assert all(name in DATASETS[part].splits for part in split.parts)
        if split.parts:
            assert split.count == sum(DATASETS[part].split(name).count for part in split.parts)
        else:
            assert record.layouts
    assert find_record(record.name) is record
    assert find_record(record.name.lower().replace("-", " ")) is record
    assert all(find_record(alias) is record for alias in record.aliases)


def test_names_and_aliases_are_nobody_elses():
    names = [name.casefold().replace("-", "") for r in RECORDS for name in {r.name, *r.aliases}]
    assert len(set(names)) == len({(n, find_record(n).name) for n in names})


@pytest.mark.parametrize("name", ["Rain800", "Rain1400", "Rain1200", "Test100"])
def test_what_is_read_is_what_was_made(tmp_path, name):
    record = DATASETS[name]
    make_standin(record, tmp_path, "test", count=4)
    view = open_dataset(name, "test", tmp_path)
    for pair in view.pairs:
        rainy, clean = read_pair(pair)
        assert rainy.shape == clean.shape == (32, 40, 3)
        assert bool((rainy >= clean).all()), "light rain adds light"
        assert np.mean(rainy.astype(int) - clean) > 0.5


def test_missing_files_are_named_and_counted(tmp_path):
    made = make_standin(DATASETS["Rain12"], tmp_path, "test", count=12)
    assert open_dataset("Rain12", "test", tmp_path).warnings == ()
    made[3][0].unlink()
    made[6][1].unlink()
    for path in made[8]:
        path.unlink()
    view = open_dataset("Rain12", "test", tmp_path)
    assert view.warnings == ("Rain12 (test): 9 pairs found, 12 expected; missing by number: 4, 7, 9",)
    assert sorted(str(error.path) for error in view.rejected) == sorted([str(made[3][1]), str(made[6][0])])
    assert all("no partner" in str(error) for error in view.rejected)


def test_files_missing_at_the_end_are_named_too(tmp_path):
    made = make_standin(DATASETS["Rain12"], tmp_path, "test", count=9)
    made[1][0].unlink()
    made[1][1].unlink()
    (warning,) = open_dataset("Rain12", "test", tmp_path).warnings
    assert warning == "Rain12 (test): 8 pairs found, 12 expected; missing by number: 2, 10, 11, 12"


def test_more_than_there_should_be_is_noticed_too(tmp_path):
    make_standin(DATASETS["Rain12"], tmp_path, "test", count=13)
    (warning,) = open_dataset("Rain12", "test", tmp_path).warnings
    assert "13 pairs found, 12 expected; there are other files" in warning


def test_a_set_of_sets_says_which_parts_are_missing(tmp_path):
    for name in ("Test100", "Rain100L"):
        make_standin(DATASETS[name], tmp_path, "test", place=3 if name == "Rain100L" else 2)
    view = open_dataset("rain13k", "test", tmp_path)
    assert [group.name for group in view.groups] == ["Test100", "Rain100L"]
    assert "not found: Rain100H, Test2800, Test1200" in view.warnings[0]


def test_training_pictures_are_never_taken_for_test_pictures(tmp_path):
    """A set with only one split, in a folder that may also contain a bare test set."""
    for record in (r for r in RECORDS if all(r.splits[s].places if s in r.splits else () for s in ("train", "test"))):
        for there, other in (("train", "test"), ("test", "train")):
            root = tmp_path / record.name / there
            make_standin(record, root, there)
            if set(record.split(there).places[:1]) & set(record.split(other).places):
                continue
            with pytest.raises(NothingToDoError):
                open_dataset(record.name, other, root)


def test_archives_that_add_a_folder_of_their_own(tmp_path):
    make_standin(DATASETS["Rain800"], tmp_path / "Rain800", "test")
    assert len(open_dataset("Rain800", "test", tmp_path).pairs) == 6


def test_folders_between_do_not_count(tmp_path):
    """Large sets are split into part_1, part_2, ... so that no folder has too many files."""
    make_standin(DATASETS["Rain13K"], tmp_path, "train")
    for number, side in enumerate(("input", "target")):
        folder = tmp_path / "Rain13K" / "train" / side
        (folder / f"part_{number}").mkdir()
        for file in list(folder.glob("[123].png")):
            file.rename(folder / f"part_{number}" / file.name)
    view = open_dataset("Rain13K", "train", tmp_path)
    assert [(p.rainy.name, p.clean.name) for p in view.pairs] == [(f"{n}.png", f"{n}.png") for n in (4, 5, 6, 1, 2, 3)]
    assert view.rejected == ()


def test_the_scene_of_gt_rain_with_a_clean_frame_for_each_rainy_one(tmp_path):
    record = DATASETS["GT-RAIN"]
    each = make_standin(record, tmp_path, "train", layout=0, count=3)
    one = make_standin(record, tmp_path, "val", layout=1, count=3)
    assert {clean.name[-7:] for _, clean in each} == {"000.png", "001.png", "002.png"}
    assert as_made(open_dataset("gt-rain", "train", tmp_path)) == set(each)
    assert as_made(open_dataset("gt-rain", "val", tmp_path)) == set(one)


def test_an_unknown_split_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="has no split 'train'"):
        open_dataset("Test100", "train", tmp_path)


def test_unknown_names_get_the_nearest_ones(tmp_path):
    with pytest.raises(UsageError, match="did you mean Rain200L or Rain200H"):
        open_dataset("Rain200", "test", tmp_path)
    with pytest.raises(UsageError, match="known names: Rain200L") as caught:
        open_dataset("qqqq", "test", tmp_path)
    assert "did you mean" not in str(caught.value)
