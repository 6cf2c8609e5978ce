"""Work lists of files in the current folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from derain_cli.jobs.items import Naming, WorkList
from derain_cli.jobs.outputs import plan_outputs
from derain_cli.system.finder import Selection

READABLE = frozenset({".jpg", ".png", ".gif"})
WRITABLE = frozenset({".jpg", ".png", ".webp"})


def planned(paths: Sequence[str], *, recursive: bool = False, **naming: object) -> WorkList:
    selection = Selection(READABLE, depth=None if recursive else 0)
    return plan_outputs(paths, selection, Naming(WRITABLE, **naming))  # type: ignore[arg-type]


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode("utf-8", "surrogateescape"))


def pairs(work: WorkList) -> dict[str, str]:
    return {item.source: item.target for item in work.items}
