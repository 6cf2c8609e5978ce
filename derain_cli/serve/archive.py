"""All results as one ZIP file, generated while it is sent."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from derain_cli.serve.entry import Result

__all__ = ["zipped"]

_BLOCK = 1 << 20


class _Pipe(io.RawIOBase):
    """An unseekable stream that returns what was written to it."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self._pending += view
        return view.nbytes

    def take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        return taken


def zipped(results: Iterable[Result]) -> Iterator[bytes]:
    """A ZIP file of these outputs in pieces; stored without compression, as photos and clips are compressed already."""
    pipe, names = _Pipe(), set[str]()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for result in results:
            try:
                source = result.path.open("rb")
            except OSError:  # deleted or replaced meanwhile
                continue
            with source:
                with archive.open(_unique(result.name, names), "w", force_zip64=True) as entry:
                    while block := source.read(_BLOCK):
                        entry.write(block)
                        yield pipe.take()
                yield pipe.take()
    yield pipe.take()


def _unique(name: str, names: set[str]) -> str:
    """The name, numbered if it is in `names`; it is added to them."""
    path = PurePosixPath(name)
    for number in itertools.count(2):
        if name not in names:
            break
        name = f"{path.stem} ({number}){path.suffix}"
    names.add(name)
    return name
