"""Nested tables of any shape."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.config.test_training import TREES

TABLES = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)
