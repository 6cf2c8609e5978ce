"""Options of pairs, and their paths."""

from __future__ import annotations

import pytest

from derain_cli.errors import UsageError
from derain_cli.jobs.synth.options import SynthOptions


@pytest.mark.parametrize(
    "wrong",
    [
        {"profiles": ("snow",)},
        {"profiles": ()},
        {"profiles": ("light", "light")},
        {"variants": 0},
        {"jobs": 0},
        {"max_side": 0},
        {"format": "gif"},
        {"target": "dry"},
    ],
)
def test_options_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        SynthOptions(**wrong)
