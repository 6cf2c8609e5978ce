"""How much memory is available to this process, and whether freed memory is kept."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free_memory", "keep_freed_memory"]

_NO_LIMIT = 2**60
"""cgroup v1 reports a number of this size if there is no limit."""


def free_memory(root: Path = Path("/")) -> int | None:
    """Available bytes: the minimum left by the machine, cgroups and `ulimit -v`; None if unknown.

    Args:
        root: root folder for `proc` and `sys` (Linux; elsewhere only `ulimit -v` is known).
    """
    left = [*_machine(root), *_groups(root), *_address_space(root)]
    return max(0, min(left)) if left else None


_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for later allocations; False if it does not support that.

    glibc returns large blocks to the system and gets them back page by page. A training step allocates and frees some
    hundred megabytes of feature maps: at 2 MB per map, this took a fifth of its time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return False
    settings = ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20))
    accepted = [bool(mallopt(key, value)) for key, value in settings]  # set all of them, even if one fails
    return all(accepted)


def _machine(root: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                yield int(value.split()[0]) * 1024


def _groups(root: Path) -> Iterator[int]:
    """What each cgroup (v1 and v2) of this process leaves, including parent groups."""
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
        # In a container the path may be the host's; the container's own limits are at the top.
        for place in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # "max" is not a number and means no limit
                most = int((place / limit).read_text(encoding="ascii"))
                if most < _NO_LIMIT:
                    yield most - int((place / used).read_text(encoding="ascii")) + _droppable(place)
            if place == top:
                break


def _droppable(group: Path) -> int:
    """Bytes of cached files, which the kernel reclaims before a group runs out of memory."""
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
