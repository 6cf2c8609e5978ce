"""Work lists of files in the current folder."""

from __future__ import annotations

from pathlib import Path

from derain_cli.jobs.items import Rules, WorkList

READABLE = frozenset({".jpg", ".png", ".gif"})
WRITABLE = frozenset({".jpg", ".png", ".webp"})


def rules(**changes: object) -> Rules:
    return Rules(readable=READABLE, writable=WRITABLE, **changes)  # type: ignore[arg-type]


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode("utf-8", "surrogateescape"))


def pairs(work: WorkList) -> dict[str, str]:
    return {item.source: item.target for item in work.items}
