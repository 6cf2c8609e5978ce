"""How much memory this process can still have, and what becomes of what is freed."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free_memory", "keep_freed_memory"]

_NO_LIMIT = 2**60
"""Control groups of version 1 write a number of this size where there is no limit."""


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that can still be had: the least of what machine, control groups and `ulimit -v` leave; None if unknown.

    Args:
        root: of the file system that `proc` and `sys` are read from (Linux; elsewhere only `ulimit -v` is known).
    """
    left = [*_machine(root), *_groups(root), *_address_space(root)]
    return max(0, min(left)) if left else None


_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for what it asks for next; False where the C library can't be told.

    glibc gives large pieces back to the system and gets them again page by page. A training step makes and frees some
    hundred megabytes of feature maps: at 2 MB a map, a fifth of its time went into that.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return False
    settings = ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20))
    accepted = [bool(mallopt(key, value)) for key, value in settings]  # each is asked, whatever became of the others
    return all(accepted)


def _machine(root: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                yield int(value.split()[0]) * 1024


def _groups(root: Path) -> Iterator[int]:
    """What each control group that this process is in leaves, version 1 and 2; groups above limit it too."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, limit, used = root / "sys/fs/cgroup", "memory.max", "memory.current"
        if controllers:
            top, limit, used = top / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        group = top / path.strip("/")
        # In a container the group's path may be that of the host; what the container sees lies at the top.
        for place in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
                most = int((place / limit).read_text(encoding="ascii"))
                if most < _NO_LIMIT:
                    yield most - int((place / used).read_text(encoding="ascii")) + _droppable(place)
            if place == top:
                break


def _droppable(group: Path) -> int:
    """Bytes of cached files, which the kernel gives back before a group runs out of memory."""
    with contextlib.suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def _address_space(root: Path) -> Iterator[int]:
    try:
        import resource
    except ImportError:  # Windows
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return
    with contextlib.suppress(OSError, ValueError):
        pages = int((root / "proc/self/statm").read_text(encoding="ascii").split()[0])
        yield most - pages * resource.getpagesize()
