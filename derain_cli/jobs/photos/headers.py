"""Rejects unusable photos by their headers, before anything slow is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from derain_cli.errors import DerainError
from derain_cli.jobs.items import Item
from derain_cli.media.photo import probe_photo

__all__ = ["header_pixels", "refused_by_header"]


def refused_by_header(
    items: Sequence[Item], max_pixels: int, *, every: bool
) -> tuple[tuple[Item, ...], list[tuple[Item, DerainError]]]:
    """The remaining items, and the refused ones with their errors.

    Args:
        items: a settled plan.
        max_pixels: larger photos are refused.
        every: check all of them; otherwise only until one is usable, since reading will check the others.
    """
    refused: list[tuple[Item, DerainError]] = []
    left = []
    for index, item in enumerate(items):
        try:
            probe_photo(item.source, max_pixels=max_pixels)
        except DerainError as error:
            refused.append((item, error))
            continue
        left.append(item)
        if not every:
            left += items[index + 1 :]
            break
    return tuple(left), refused


def header_pixels(items: Iterable[Item], max_pixels: int) -> Iterator[int]:
    """Height times width of each photo, one by one as they are asked for; those that are refused are passed over."""
    for item in items:
        with contextlib.suppress(DerainError):
            info = probe_photo(item.source, max_pixels=max_pixels)
            yield info.height * info.width
