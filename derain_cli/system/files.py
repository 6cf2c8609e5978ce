"""Atomic file writes.

Everything the program writes goes through `atomic_file`: a temporary file next to the target, flushed to
disk, then renamed. The final name always refers to the complete old or new file, never to a part.
Temporary names contain host and process id, so `sweep_stale` can tell the leftovers of a killed process
from the files of a running one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from derain_cli.errors import DerainError, DestinationError, ResourceError, resource_error_from
from derain_cli.remedies import Remedy

__all__ = [
    "atomic_bytes",
    "atomic_file",
    "atomic_text",
    "changed_of",
    "files_of",
    "make_folder",
    "require_space",
    "sha256_of",
    "size_of",
    "sweep_owned",
    "sweep_stale",
    "temporary_owner",
]

# A short fixed-length name without the target's, so a target of NAME_MAX bytes, or one whose name is not valid
# text, needs no special case.
_PATTERN = re.compile(r"\.derain-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-[0-9a-f]{12}\.tmp")
_STALE_SECONDS = 24 * 3600.0
_SPACE_LEAST = 8 << 20
_BINARY = getattr(os, "O_BINARY", 0)
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV}


@contextmanager
def atomic_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path to write to; if the block succeeds, it becomes `path`.

    The temporary file exists (empty, mode set by the umask) in the target's folder; it may be opened, or
    replaced by a library that renames onto it. On any exception, including KeyboardInterrupt, it is removed
    and an existing file at `path` is untouched. Symbolic links are followed.

    Args:
        path: the final name. Its folder must exist.
        overwrite: replace an existing file. Otherwise a file that exists, even if created in the meantime,
            is kept and an error raised.

    Raises:
        DestinationError: `path` exists (without `overwrite`), is a folder, device or FIFO, or its folder is
            missing or not writable.
        ResourceError: the disk is full or failing, or memory ran out, here or inside the block.
    """
    path = Path(path)
    target = _resolve_target(path, overwrite)
    temporary, mode = _create_temporary(target, path)
    try:
        yield temporary
        _settle(temporary, mode, path)
        _publish(temporary, target, path, overwrite)
    except DerainError:
        raise
    except Exception as error:
        mapped = _resource_error(error, path)
        if mapped is None:
            raise
        raise mapped from error
    finally:
        # After a rename it no longer exists; after a link this removes the second name.
        with contextlib.suppress(OSError):
            temporary.unlink()
    _sync_folder(target.parent, path)


def atomic_bytes(path: Path, data: bytes | bytearray | memoryview, overwrite: bool = True) -> None:
    """Write `data` as the whole content of `path`; errors as for `atomic_file`."""
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def atomic_text(path: Path, data: str, overwrite: bool = True) -> None:
    """Write `data` as UTF-8, line endings unchanged; errors as for `atomic_file`."""
    # File names in reports may contain undecodable bytes (lone surrogates), which are written back as those bytes.
    atomic_bytes(path, data.encode("utf-8", "surrogateescape"), overwrite)


def make_folder(folder: Path) -> None:
    """Create an output folder and its parents, and remove stale temporary files from it.

    Raises:
        DestinationError: it cannot be created.
        ResourceError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        full = resource_error_from(error, folder)
        reason = f"cannot create the folder: {_words(error)}"
        raise full or DestinationError(reason, path=folder, remedy=Remedy.OTHER_OUTPUT) from error
    sweep_stale(folder)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """The file itself, or, for a folder that is a single input (a clip as pictures), its non-hidden files by name.

    Raises:
        OSError: the folder cannot be read.
    """
    place = Path(path)
    if not place.is_dir():
        return [place]
    return sorted(each for each in place.iterdir() if each.is_file() and not each.name.startswith("."))


def size_of(path: str | os.PathLike[str]) -> int:
    """Size of an input in bytes: the sum over `files_of`.

    Raises:
        OSError: it does not exist.
    """
    return sum(each.stat().st_size for each in files_of(path))


def changed_of(path: str | os.PathLike[str]) -> int:
    """Modification time of an input in nanoseconds: the latest of `files_of`.

    Raises:
        OSError: it does not exist.
    """
    return max((each.stat().st_mtime_ns for each in files_of(path)), default=0)


def sweep_stale(folder: Path) -> int:
    """Remove temporary files that dead processes left in `folder`; returns their number.

    Only regular files that match our name pattern are considered. A file is stale if its process on this host
    is gone or, where that is unknown (another host on a shared disk), if it is over a day old. Never raises:
    an unreadable folder is treated as clean.
    """
    removed = 0
    try:
        with os.scandir(folder) as entries:
            candidates = [entry.path for entry in entries if _PATTERN.fullmatch(entry.name)]
    except OSError:
        return 0
    for candidate in candidates:
        with contextlib.suppress(OSError):
            if _is_stale(Path(candidate)):
                Path(candidate).unlink()
                removed += 1
    return removed


def temporary_owner() -> str:
    """The part of their names that marks the temporary files of this process."""
    return f"{_host()}-{os.getpid()}"


def sweep_owned(folder: str | os.PathLike[str], owner: str) -> None:
    """Remove the temporary files that a process left in `folder`. Never raises.

    Args:
        folder: which may be missing.
        owner: what `temporary_owner` returned in that process, which is dead.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f".derain-{owner}-") and _PATTERN.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode('utf-8', 'surrogateescape')):08x}"


def _resolve_target(path: Path, overwrite: bool) -> Path:
    """The file to replace, following symbolic links; refuses anything but a regular file."""
    try:
        status: os.stat_result | None = path.stat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise DestinationError(f"cannot write here: {_words(error)}", path=path) from error
    if status is not None and not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise DestinationError(f"the destination is {kind}", path=path)
    # lexists: a dangling link counts as existing, although it has no content to lose.
    if not overwrite and os.path.lexists(path):
        raise DestinationError("the destination already exists", path=path, remedy=Remedy.REPLACE)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _create_temporary(target: Path, path: Path) -> tuple[Path, int]:
    """A new empty file next to `target`, and its mode, which the kernel derived from the umask."""
    while True:
        temporary = target.parent / f".derain-{temporary_owner()}-{secrets.token_hex(6)}.tmp"
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        except FileExistsError:
            continue
        except FileNotFoundError as error:
            raise DestinationError(
                "the folder does not exist", path=path, hint=f"create {target.parent} first"
            ) from error
        except OSError as error:
            mapped = _resource_error(error, path)
            raise mapped or DestinationError(f"cannot write here: {_words(error)}", path=path) from error
        try:
            return temporary, stat.S_IMODE(os.fstat(handle).st_mode)
        finally:
            os.close(handle)


def _settle(temporary: Path, mode: int, path: Path) -> None:
    """Restore the mode given by the umask and flush the content to disk."""
    try:
        status = temporary.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise DestinationError("the temporary file was replaced by something else", path=path)
        if stat.S_IMODE(status.st_mode) != mode:  # a library created its own file (safetensors: 0600)
            temporary.chmod(mode)
        handle = os.open(temporary, (os.O_RDWR if sys.platform == "win32" else os.O_RDONLY) | _BINARY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        mapped = _resource_error(error, path)
        raise mapped or DestinationError(f"cannot write here: {_words(error)}", path=path) from error


def _publish(temporary: Path, target: Path, path: Path, overwrite: bool) -> None:
    """Give the finished file its name. Without `overwrite`, a file created in the meantime is kept."""
    try:
        if not overwrite:
            try:
                os.link(temporary, target)  # fails if the name is taken: no race between check and use
                return
            except FileExistsError:
                raise
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
            # No hard links here (FAT, some network disks). An O_EXCL placeholder would close the remaining race,
            # but a kill at that moment would leave an empty file at the final name, which is worse.
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.replace(temporary, target)  # noqa: PTH105  (both spellings are the same; this one names the call)
    except FileExistsError as error:
        raise DestinationError("the destination was created meanwhile", path=path, remedy=Remedy.REPLACE) from error
    except OSError as error:
        mapped = _resource_error(error, path)
        raise mapped or DestinationError(f"cannot write here: {_words(error)}", path=path) from error


def _sync_folder(folder: Path, path: Path) -> None:
    """Flush the folder, so that the new name survives a power failure, on systems that support it."""
    if sys.platform == "win32":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # a folder that is writable but not readable
    try:
        os.fsync(handle)
    except OSError as error:
        mapped = _resource_error(error, path)
        if mapped is not None:
            raise mapped from error
    finally:
        os.close(handle)


def _is_stale(candidate: Path) -> bool:
    match = _PATTERN.fullmatch(candidate.name)
    status = candidate.lstat()
    if match is None or not stat.S_ISREG(status.st_mode):
        return False
    alive = _alive(int(match["pid"])) if match["host"] == _host() else None
    if alive is None:
        return time.time() - status.st_mtime > _STALE_SECONDS
    return not alive


def _alive(pid: int) -> bool | None:
    """Whether a process is running on this host; None if unknown."""
    if sys.platform == "win32":  # os.kill(pid, 0) would terminate the process there
        return True if pid == os.getpid() else None
    if pid <= 0:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return None
    return True


def _resource_error(error: BaseException, path: Path) -> ResourceError | None:
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return ResourceError(
            "the file is too large for this file system or its limit", path=path, hint="choose another folder"
        )
    return resource_error_from(error, path)


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__


def require_space(folder: Path, needed: int) -> None:
    """Check that about `needed` bytes are free in an existing folder, and a little more.

    Raises:
        ResourceError: they are not.
    """
    needed += _SPACE_LEAST
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(
            f"not enough space: about {needed >> 20} MB needed, {free >> 20} MB free",
            path=folder,
            hint="free some space or choose another folder",
        )
