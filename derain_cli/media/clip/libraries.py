"""The libraries that clips need and photos do not: OpenCV and PyAV, of the extra `video`."""

from __future__ import annotations

from importlib.util import find_spec

from derain_cli.errors import UsageError
from derain_cli.remedies import Remedy

__all__ = ["can_process_clips", "require_clip_libraries"]


def can_process_clips() -> bool:
    """Whether both libraries are installed; nothing is imported."""
    return all(find_spec(package) is not None for package in ("cv2", "av"))


def require_clip_libraries() -> None:
    """Check before any work on clips.

    Raises:
        UsageError: a library is not installed.
    """
    if not can_process_clips():
        raise UsageError("clips need OpenCV and PyAV, which are not installed", remedy=Remedy.INSTALL_VIDEO)
