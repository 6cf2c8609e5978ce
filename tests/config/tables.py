"""Nested tables of any shape."""

from __future__ import annotations

from hypothesis import strategies as st

TREES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
TABLES = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)
