"""`derain serve`: a local web page for photos and clips."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.cli import options
from derain_cli.cli.console import as_derain_error, print_data
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.reporter import Reporter
from derain_cli.config import DEFAULT_MAX_PIXELS
from derain_cli.errors import UsageError
from derain_cli.serve.options import Limits, ServeOptions
from derain_cli.system.signals import Interrupted

__all__ = ["serve"]

_MB = 1 << 20

_PAGE = "Web page"
_LIMITS = "Limits"

Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Address to listen on; 0.0.0.0 lets everyone in your network use the page.",
        rich_help_panel=_PAGE,
    ),
]
Port = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 uses a free port.", rich_help_panel=_PAGE)
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="A further host name under which the page can be opened; repeatable.",
        rich_help_panel=_PAGE,
    ),
]
OpenBrowser = Annotated[bool, typer.Option("--open", help="Open the page in your browser.", rich_help_panel=_PAGE)]
MaxUpload = Annotated[
    int, typer.Option("--max-upload", metavar="MB", min=1, help="Refuse larger files.", rich_help_panel=_LIMITS)
]
MaxDisk = Annotated[
    int,
    typer.Option(
        "--max-disk",
        metavar="MB",
        min=1,
        help="Disk space for all uploads and results.",
        rich_help_panel=_LIMITS,
    ),
]
MaxFiles = Annotated[
    int,
    typer.Option("--max-files", metavar="N", min=1, help="Photos and clips kept at a time.", rich_help_panel=_LIMITS),
]
Keep = Annotated[
    float,
    typer.Option(
        "--keep",
        metavar="MINUTES",
        min=0.1,
        help="Delete the files of a page that has been inactive for this long.",
        rich_help_panel=_LIMITS,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ServeFlags:
    """The flags of `derain serve`."""

    host: Host = ServeOptions.host
    port: Port = ServeOptions.port
    allow_host: AllowHost = None
    open: OpenBrowser = False
    model: options.Model = DEFAULT_MODEL
    computing: options.Computing = field(default_factory=options.Computing)
    max_pixels: options.MaxPixels = DEFAULT_MAX_PIXELS
    max_upload: MaxUpload = Limits.max_upload // _MB
    max_disk: MaxDisk = Limits.max_disk // _MB
    max_files: MaxFiles = Limits.max_files
    keep: Keep = Limits.keep / 60
    messages: options.Messages = field(default_factory=options.Messages)

    def serve_options(self) -> ServeOptions:
        """The options of the server.

        Raises:
            UsageError: one is out of range.
        """
        limits = Limits(
            max_upload=self.max_upload * _MB,
            max_disk=self.max_disk * _MB,
            max_files=self.max_files,
            max_pixels=self.max_pixels,
            keep=self.keep * 60,
        )
        restore = self.computing.restore_options()
        return ServeOptions(self.host, self.port, tuple(self.allow_host or ()), self.model, restore, limits)


@command_from_flags(ServeFlags)
def serve(flags: ServeFlags) -> int:
    """Remove rain in your browser: add photos and clips, compare, download.

    The page is served on this machine only, unless --host says otherwise, and works offline. Uploads and results are
    deleted when the page is closed, or when you stop the program with Ctrl-C.
    """
    wanted, reporter = flags.serve_options(), flags.messages.reporter()
    if not all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn")):
        hint = "pip install 'derain-cli[web]'"
        raise UsageError("the web page needs starlette and uvicorn, which are not installed", hint=hint)
    from derain_cli.serve.guard import is_loopback
    from derain_cli.serve.models import Models
    from derain_cli.serve.server import address_of, listen, network_address_of
    from derain_cli.serve.server import serve as run
    from derain_cli.serve.worker import Told
    from derain_cli.system.accelerators import refuse_missing_device

    refuse_missing_device(wanted.restore.device)
    models = Models.found(wanted.model, wanted.restore)
    with listen(wanted) as listening:
        address = address_of(listening)

        def started() -> None:
            _tell_address(reporter, address, listening)
            if not is_loopback(wanted.host):
                there = network_address_of(listening)
                reporter.note("everyone in your network can use the page; connections are not encrypted", there)
            if flags.open:
                _open_browser(reporter, address)

        told = Told(reporter.detail, lambda error: reporter.error(as_derain_error(error)))
        ended = run(listening, wanted, models, told, started)
    if not ended.idle:
        # A running pass over a large photo cannot be interrupted, and a daemon thread returning from torch during
        # interpreter shutdown can crash the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + (ended.number or 0))
    if ended.number is not None:
        raise Interrupted(ended.number)
    return 0


def _tell_address(reporter: Reporter, address: str, listening: Any) -> None:
    if reporter.json:
        reporter.record(address=address, port=listening.getsockname()[1])
    else:
        print_data(address)
    reporter.say("open this address in a browser; Ctrl-C stops the server and deletes all uploads")


def _open_browser(reporter: Reporter, address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        reporter.note("no browser found")
