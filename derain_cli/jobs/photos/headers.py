"""Photos that their headers already tell to be unusable: looked at before anything that takes long is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from derain_cli.errors import DerainError
from derain_cli.jobs.items import Item
from derain_cli.media.photo import probe_photo

__all__ = ["refused_by_header"]


def refused_by_header(
    items: Sequence[Item], max_pixels: int, *, every: bool
) -> tuple[tuple[Item, ...], list[tuple[Item, DerainError]]]:
    """The items that are left, and those refused with their errors.

    Args:
        items: a settled plan.
        max_pixels: larger photos are refused.
        every: look at all of them; else only until one is usable, since reading will tell about the others.
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
