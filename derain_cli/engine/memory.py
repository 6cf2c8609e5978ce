"""Memory for one pass through a network. Needs no torch."""

from __future__ import annotations

__all__ = ["AUTO_BYTES", "NO_MEMORY", "is_out_of_memory", "pass_budget"]

AUTO_BYTES = 2**31
"""Most bytes for one pass and a picture's arrays on a CPU when tiles are chosen automatically, or half of the free
memory if that is less. Larger tiles are hardly faster."""

NO_MEMORY = "out of memory even with the smallest tiles"

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "bad allocation", "failed to allocate memory")
"""Of PyTorch, of C++ libraries, of ONNX Runtime; lower case."""


def pass_budget(free: int | None, held: int, *, bounded: bool) -> int:
    """Bytes that one pass through a network may take.

    Args:
        free: bytes of free memory; None if unknown.
        held: bytes of the picture's own arrays.
        bounded: whether `AUTO_BYTES` is the limit, as on a CPU.
    """
    budget = AUTO_BYTES if free is None else free // 2
    # The larger the picture, the less is left for its tiles: they need not be large.
    return min(budget, max(AUTO_BYTES - held, AUTO_BYTES // 4)) if bounded else budget


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of whatever device ran out, judging by what libraries say."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY)
