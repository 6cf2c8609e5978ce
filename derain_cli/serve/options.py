"""Options and limits of the server."""

from __future__ import annotations

from dataclasses import dataclass, field

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.config import DEFAULT_MAX_PIXELS, RestoreOptions
from derain_cli.config.schema import require_option

__all__ = ["Limits", "ServeOptions"]


@dataclass(frozen=True)
class Limits:
    """Limits on uploads, and how long they are kept.

    Attributes:
        max_upload: bytes of one upload.
        max_disk: bytes of all uploads and results together.
        max_files: number of uploads kept.
        max_sessions: number of open pages.
        max_uploads: number of simultaneous uploads.
        max_pixels: of a photo.
        keep: seconds without a request after which the files of a page are deleted.
        idle: longest pause within an upload, seconds.
        slowest: minimum average speed of an upload after `idle` seconds, bytes per second.
    """

    max_upload: int = 2 << 30
    max_disk: int = 16 << 30
    max_files: int = 200
    max_sessions: int = 64
    max_uploads: int = 8
    max_pixels: int = DEFAULT_MAX_PIXELS
    keep: float = 1800.0
    idle: float = 20.0
    slowest: int = 4096

    def __post_init__(self) -> None:
        for name in ("max_upload", "max_disk", "max_files", "max_sessions", "max_uploads", "max_pixels", "slowest"):
            require_option(getattr(self, name) >= 1, name, f"must be at least 1, not {getattr(self, name)}")
        for name in ("keep", "idle"):
            require_option(getattr(self, name) > 0, name, f"must be more than 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class ServeOptions:
    """Address, models and limits of the server.

    Attributes:
        host: name or address to listen on.
        port: 0 uses a free one.
        names: further allowed host names.
        model: the default model.
        restore: device, precision, tiles, and the initial strength.
        limits: on uploads.
    """

    host: str = "127.0.0.1"
    port: int = 7246
    names: tuple[str, ...] = ()
    model: str = DEFAULT_MODEL
    restore: RestoreOptions = field(default_factory=RestoreOptions)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        require_option(0 <= self.port <= 65535, "port", f"must be 0 to 65535, not {self.port}")
        require_option(bool(self.host), "host", "must not be empty")
