"""Several pictures combined into one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from derain_cli.media.montage import compare
from tests.media.photo.samples import noise


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compare_puts_both_side_by_side(dtype: Any) -> None:
    before, after = noise(5, 7, 3, dtype), noise(5, 7, 3, dtype, 1)
    joined = compare(before, after, divider=3)
    assert joined.shape == (5, 17, 3) and joined.dtype == dtype
    assert np.array_equal(joined[:, :7], before) and np.array_equal(joined[:, 10:], after)
    assert (joined[:, 7:10] == np.iinfo(dtype).max).all()
    with pytest.raises(ValueError, match="compare"):
        compare(before, after[:-1])
