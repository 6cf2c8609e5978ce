"""Perceptual hashes: stable under common changes of files, different for different pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.datasets import fingerprint
from derain_cli.datasets.fingerprint import MAX_DISTANCE, KnownPictures, hash_files, overlap, picture_hash
from derain_cli.datasets.layouts import Layout
from derain_cli.datasets.pairs import Pair
from derain_cli.media.photo import write_rgb
from tests.standins import clean_picture, make_layout


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def jpeg(picture, quality):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


CHANGES = {
    "jpeg 30": lambda p: jpeg(p, 30),
    "half": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda p: cv2.resize(p, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC),
    "gamma": lambda p: (255 * (p / 255) ** 0.85).astype(np.uint8),
    "darker": lambda p: (p * 0.8).astype(np.uint8),
    "noise": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 6, p.shape), 0, 255).astype(np.uint8),
}


def test_a_hash_is_64_bits_half_of_them_set():
    found = picture_hash(clean_picture(100, 140, 0))
    assert len(found) == 16
    assert 28 <= int(found, 16).bit_count() <= 36
    assert found == picture_hash(clean_picture(100, 140, 0))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(6))
def test_what_happens_to_files_moves_a_hash_little(change, seed):
    picture = clean_picture(200, 300, seed)
    assert distance(picture_hash(picture), picture_hash(CHANGES[change](picture))) <= MAX_DISTANCE


def test_different_pictures_are_far_apart():
    hashes = [picture_hash(clean_picture(100, 140, seed)) for seed in range(60)]
    apart = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > MAX_DISTANCE
    assert 26 < np.mean(apart) < 38


def test_mirror_images_are_different_pictures():
    picture = clean_picture(100, 140, 3)
    assert distance(picture_hash(picture), picture_hash(picture[:, ::-1])) > MAX_DISTANCE


def test_flat_and_tiny_pictures_have_hashes():
    for shape in ((1, 1, 3), (1, 900, 3), (64, 64, 3)):
        assert len(picture_hash(np.full(shape, 40, np.uint8))) == 16


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 64))
@settings(max_examples=60, deadline=None)
def test_holding_is_a_matter_of_the_nearest_hash(known, own, most):
    """Compared with a plain bit count."""
    pictures = KnownPictures([f"{each:016x}" for each in known], most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "picture_hash", lambda _: f"{own:016x}")
        held = pictures.holds(np.zeros((1, 1, 3), np.uint8))
    assert held == (min((each ^ own).bit_count() for each in known) <= most)


def test_overlap_names_the_pictures_that_were_trained_on(tmp_path):
    made = [Pair(*paths) for paths in make_layout(Layout("rain/{n}", "norain/{n}"), tmp_path, 8, (80, 100))]
    trained = hash_files(made[2:5])
    assert overlap(trained, made) == tuple(made[2:5])
    assert overlap((), made) == ()
    assert overlap(trained, [pair.clean for pair in made]) == tuple(pair.clean for pair in made[2:5])
    made[3].clean.write_bytes(b"no picture")
    assert overlap(trained, made) == (made[2], made[4])


def test_it_is_the_clean_picture_that_counts(tmp_path):
    """The same photo with different rain counts as the same; halves of a file are read as two pictures."""
    for name, profile in (("a", "light"), ("b", "heavy")):
        make_layout(Layout("rain/{n}", "norain/{n}"), tmp_path / name, 3, (80, 100), profile)
    made = make_layout(Layout("{n}", halves="rainy|clean"), tmp_path / "c", 3, (80, 100), "heavy")
    a, b = (
        [Pair(tmp_path / n / "rain" / f"{i}.png", tmp_path / n / "norain" / f"{i}.png") for i in (1, 2)] for n in "ab"
    )
    c = [Pair(path, path, "rainy|clean") for path, _ in made]
    assert hash_files(a) == hash_files(b)
    assert overlap(hash_files(a), c) == tuple(c[:2])


def test_hashes_are_sorted_once_each_and_bounded(tmp_path):
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.png")
        write_rgb(paths[-1], clean_picture(60, 80, number % 10))
    (tmp_path / "broken.png").write_bytes(b"")
    found = hash_files([*paths, *paths, tmp_path / "broken.png"])
    assert len(found) == 10
    assert list(found) == sorted(set(found))
    assert found == hash_files(reversed(paths), workers=1)
    assert len(hash_files(paths[:10], most=4)) == 4
