"""Provenance of results: program, commit, libraries and machine. Standard library only."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from derain_cli import __version__

__all__ = ["commit", "machine", "program_version", "today", "versions"]

_PACKAGES = ("torch", "numpy", "pillow", "opencv-python-headless")


@functools.cache
def commit() -> str | None:
    """The commit of the checkout the program runs from, with `+changes` if files differ; None if installed."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        head = _git(here, "rev-parse", "HEAD")
        return head + ("+changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str | None]:
    """Versions of the program, Python and libraries (by default those that affect results); None if not installed."""
    found: dict[str, str | None] = {"derain": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, str]:
    """Names of the operating system and the processor."""
    return {"system": platform.platform(), "processor": _processor()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def program_version() -> str:
    """The program's version, with the commit if it runs from a checkout."""
    head = commit()
    return __version__ if head is None else f"{__version__}+{head[:12]}"


def today() -> str:
    """Today's date in UTC, ISO format."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
