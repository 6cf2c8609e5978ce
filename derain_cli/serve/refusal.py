"""A request that is not served, and why."""

from __future__ import annotations

from derain_cli.serve.hints import Problem

__all__ = ["Refusal"]


class Refusal(Exception):
    """A request that is not served.

    Args:
        status: of HTTP.
        reason: what is wrong, one line.
        hint: the way out.
    """

    def __init__(self, status: int, reason: str, hint: str | None = None):
        super().__init__(reason)
        self.status = status
        self.problem = Problem(reason, hint)
