"""Refused requests."""

from __future__ import annotations

from derain_cli.serve.hints import Problem

__all__ = ["Refusal"]


class Refusal(Exception):
    """The request is refused.

    Args:
        status: HTTP status.
        reason: what is wrong, one line.
        hint: what to do about it.
    """

    def __init__(self, status: int, reason: str, hint: str | None = None):
        super().__init__(reason)
        self.status = status
        self.problem = Problem(reason, hint)
