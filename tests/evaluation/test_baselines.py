"""Baselines: identity and classical filters."""

from __future__ import annotations

import numpy as np
import pytest

from derain_cli.evaluation.baselines import BASELINES
from derain_cli.evaluation.peers import find_peer
from tests.evaluation.test_peers import CPU


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.parametrize("size", [(1, 1), (7, 40), (33, 21)])
def test_baselines_keep_size_and_the_picture_they_are_given(picture, name, size):
    rainy = picture(*size)
    kept = rainy.copy()
    peer = find_peer(name, CPU)
    restored = peer(rainy)
    assert restored.shape == rainy.shape
    assert restored.dtype == np.uint8
    assert np.array_equal(rainy, kept)
    assert (peer.kind, peer.parameters, peer.sha256) == ("baseline", 0, None)


def test_doing_nothing_is_exact(picture):
    assert np.array_equal(find_peer("input", CPU)(picture(20, 30)), picture(20, 30))


@pytest.mark.parametrize("name", ["median", "guided"])
def test_classical_filters_take_thin_bright_streaks_out_of_a_flat_picture(name):
    rainy = np.full((60, 60, 3), 90, np.uint8)
    rainy[:, 10:60:20] = 130
    restored = find_peer(name, CPU)(rainy)
    assert np.abs(restored.astype(int) - 90).mean() < 0.5 * np.abs(rainy.astype(int) - 90).mean()


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_flat_pictures_stay(name):
    flat = np.full((30, 30, 3), (10, 128, 250), np.uint8)
    assert np.abs(find_peer(name, CPU)(flat).astype(int) - flat).max() <= 1
