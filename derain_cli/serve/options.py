"""What the server listens on, and what it lets in."""

from __future__ import annotations

from dataclasses import dataclass, field

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.config import DEFAULT_MAX_PIXELS, RestoreOptions
from derain_cli.config.schema import require_option

__all__ = ["Limits", "ServeOptions"]


@dataclass(frozen=True)
class Limits:
    """What is let in, and for how long it stays.

    Attributes:
        max_upload: bytes of one upload.
        max_disk: bytes of all uploads and results together.
        max_files: uploads that are kept at a time.
        max_sessions: pages open at a time.
        max_uploads: uploads that arrive at a time.
        max_pixels: of a photo.
        keep: seconds without a sign of life after which what belongs to a page is deleted.
        idle: seconds that an upload may pause.
        slowest: bytes per second that an upload must reach on average, after `idle` seconds.
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
    """What the server listens on, and what it offers.

    Attributes:
        host: name or address to listen on.
        port: 0 takes a free one.
        names: further names that the page may be called by, where the host is no loopback address.
        model: weights chosen at first.
        restore: device, precision and tiles; its strength is where the slider stands at first.
        limits: what is let in.
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
