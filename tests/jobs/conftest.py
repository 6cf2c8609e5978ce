"""What tests of jobs have in common."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is an empty one."""
    monkeypatch.chdir(tmp_path)
