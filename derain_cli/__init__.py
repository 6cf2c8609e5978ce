"""derain: removes rain from photos, folders and videos.

`Restorer` restores pictures; it is imported on first use, so that importing `derain_cli` (and running
`derain --help`) does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Restorer", "__version__"]

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer


def __getattr__(name: str) -> object:
    if name == "Restorer":
        from derain_cli.engine.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
