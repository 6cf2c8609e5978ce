"""Pixel arrays: reduction to 8 bits, and blocks of rows."""

from __future__ import annotations

import numpy as np

from derain_cli.media.pixels import row_blocks, to_uint8


def test_reduction_to_8_bits_rounds_to_nearest_and_inverts_the_expansion() -> None:
    every = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(to_uint8(every), np.round(every / 257).astype(np.uint8))
    assert np.array_equal(to_uint8((np.arange(256) * 257).astype(np.uint16)), np.arange(256))


def test_row_blocks_cover_every_row_once() -> None:
    for rows, samples in ((0, 5), (1, 1), (7, 1 << 19), (5, 1 << 22), (3_000_001, 1)):
        blocks = list(row_blocks(rows, samples))
        assert [b.start for b in blocks] == [0, *(b.stop for b in blocks[:-1])][: len(blocks)]
        assert sum(b.stop - b.start for b in blocks) == rows
        assert all((b.stop - b.start) * samples <= max(1 << 20, samples) for b in blocks)
