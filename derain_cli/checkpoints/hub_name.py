"""Names of models on the Hugging Face Hub: `owner/name`, with `@revision` for another than the newest state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Self

from derain_cli.errors import UsageError

__all__ = ["HubName"]

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_WORD}/{_WORD}")
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9_])?")
_LONGEST = 96
_PREFIX = "hf:"
_FILES = {".safetensors", ".pt", ".pth", ".ts", ".torchscript", ".ckpt", ".bin", ".onnx", ".xml"}


@dataclass(frozen=True)
class HubName:
    """A model on the Hub.

    Attributes:
        repo: `owner/name`.
        revision: branch, tag or commit; None for the default branch.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name in `owner/name`, `owner/name@revision`, or either with `hf:` before it.

        Raises:
            UsageError: something else, or what the Hub would not accept.
        """
        repo, at, revision = text.removeprefix(_PREFIX).partition("@")
        # The client's cache has a file named after the revision: it must not lead out of the cache.
        parts = (repo, revision) if at else (repo,)
        odd = any(".." in part or "--" in part or "//" in part or len(part) > _LONGEST for part in parts)
        if odd or not _REPO.fullmatch(repo) or repo.endswith(".git") or (at and not _REVISION.fullmatch(revision)):
            hint = "OWNER/NAME or OWNER/NAME@REVISION; letters, digits, and - _ . between them"
            raise UsageError(f"not the name of a model on the Hub: {text!r}", hint=hint)
        return cls(repo, revision if at else None)

    @classmethod
    def meant_by(cls, text: str) -> Self | None:
        """The name if `text` can be one; None if it looks like a path, or like the name of an installed model.

        Raises:
            UsageError: it starts with `hf:` but is no valid name.
        """
        if text.startswith(_PREFIX):
            return cls.parse(text)
        if PurePath(text.partition("@")[0]).suffix.lower() in _FILES:
            return None
        try:
            return cls.parse(text)
        except UsageError:
            return None
