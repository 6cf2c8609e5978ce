"""Receiving uploads, with limits on size, pauses and speed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from derain_cli.media.clip.names import READABLE_CLIPS
from derain_cli.media.photo import HEIF_SUFFIXES, READABLE_SUFFIXES, UNREAD_SUFFIXES, WRITABLE_SUFFIXES
from derain_cli.serve.options import Limits
from derain_cli.serve.refusal import Refusal

__all__ = ["declared_size", "discard", "receive", "shown_name", "suffix_of"]

_SUFFIXES = READABLE_SUFFIXES | WRITABLE_SUFFIXES | HEIF_SUFFIXES | UNREAD_SUFFIXES | READABLE_CLIPS
_BLOCK = 1 << 20
_LONGEST_NAME = 120
_DISCARDED, _DISCARDING = 64 << 20, 2.0
"""Limits in bytes and seconds for reading the rest of a refused upload."""


def shown_name(name: str) -> str:
    """The base name of an uploaded file for display: printable, at most 120 characters. Never used as a path."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    text = "".join(c for c in last if c.isprintable()).strip().lstrip(".") or "picture"
    stem, suffix = _split(text)
    return stem[: _LONGEST_NAME - len(suffix)] + suffix


def suffix_of(name: str) -> str:
    """The lower-case suffix if it is a known photo or clip suffix, else an empty string."""
    suffix = _split(name)[1].lower()
    return suffix if suffix in _SUFFIXES else ""


def declared_size(request: Request) -> int:
    """Size of an upload by its Content-Length, bytes.

    Raises:
        Refusal: the header is missing or invalid, or the size is 0.
    """
    declared = request.headers.get("content-length", "")
    if not declared.isascii() or not declared.isdigit():
        raise Refusal(411, "Content-Length is missing")
    size = int(declared[:20])
    if size == 0:
        raise Refusal(422, "empty file")
    return size


async def receive(request: Request, path: Path, size: int, limits: Limits) -> None:
    """Write the body of a request to a new file.

    Raises:
        Refusal: it is too slow, interrupted, or differs from `size`.
    """
    received, pending = 0, bytearray()
    file = await run_in_threadpool(path.open, "xb")
    try:
        async for chunk in _paced(request, limits):
            received += len(chunk)
            if received > size:
                raise Refusal(400, "more bytes than declared")
            pending += chunk
            if len(pending) >= _BLOCK:
                await run_in_threadpool(file.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(file.write, bytes(pending))
    except ClientDisconnect as error:
        raise Refusal(400, "the upload was interrupted") from error
    finally:
        await run_in_threadpool(file.close)
    if received != size:
        raise Refusal(400, "fewer bytes than declared")


async def discard(request: Request) -> None:
    """Read a limited part of the body: many clients read the response only after sending."""
    read = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_DISCARDING):
            async for chunk in request.stream():
                read += len(chunk)
                if read > _DISCARDED:
                    return


async def _paced(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The chunks of a request body.

    Raises:
        Refusal: a pause is too long, or the average speed too low.
    """
    began, received = time.monotonic(), 0
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout(limits.idle):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise Refusal(408, "the upload has stalled", "try again") from error
        if chunk is None:
            return
        received += len(chunk)
        passed = time.monotonic() - began
        if passed > limits.idle and received < limits.slowest * passed:
            raise Refusal(408, "the upload is too slow", "try again with a better connection")
        yield chunk


def _split(name: str) -> tuple[str, str]:
    path = PurePosixPath(name)
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    return name.removesuffix(suffix), suffix
