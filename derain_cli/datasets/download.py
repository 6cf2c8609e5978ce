"""Downloads data sets from the Hugging Face Hub into the data root, with the Hub's own client.

The client shows progress bars, resumes earlier downloads, and respects HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE.
Downloads are treated as data only: nothing is executed, and archives are unpacked picture by picture.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from derain_cli.datasets.catalogue import DATASETS, DatasetRecord, HubCopy, find_record
from derain_cli.datasets.opening import root_of_datasets
from derain_cli.errors import DerainError, DestinationError, NothingToDoError, ResourceError, resource_error_from
from derain_cli.media.photo import READABLE_SUFFIXES
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_text
from derain_cli.system.hub_client import bars, first_line, hub_address, is_transport

__all__ = ["MAX_RATIO", "download_dataset", "unpack"]

MAX_RATIO = 20
"""Maximum ratio of unpacked to packed size: pictures are compressed already, so more is suspicious."""

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_BY_LENGTH = sorted(_ARCHIVES, key=len, reverse=True)
_MARKER = ".derain-download.json"


def download_dataset(
    name: str,
    data_root: Path | None = None,
    *,
    tell: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Path:
    """Download a data set from the Hub to the data root, where `open_dataset` finds it.

    Existing files are not downloaded again, and a complete set needs no network.

    Args:
        name: of a data set, or an alias.
        data_root: folder for data sets; None means `DERAIN_DATA`, or else `./datasets`.
        tell: called with one line each on what is downloaded from where, and on its terms.
        progress: whether the client shows its progress on stderr.

    Returns:
        The folder of the set below the data root.

    Raises:
        UsageError: no set of that name.
        NothingToDoError: it is not on the Hub, or the Hub cannot be reached; the hint says how to get it manually.
        ResourceError: not enough disk space.
        DestinationError: the folder cannot be written to.
    """
    record = find_record(name)
    root = root_of_datasets(data_root)
    copy = _copy_of(record)
    place = root / copy.folder
    done = _read_marker(place, copy.repo)
    if "*" in done or (copy.only and set(copy.only) <= set(done)):
        return place
    try:
        place.mkdir(parents=True, exist_ok=True)
        _fetch(record, copy, place, tell or (lambda line: None), progress)
        for archive in _archives(place):
            unpack(archive)
        marker = {"repo": copy.repo, "only": sorted({*done, *(copy.only or ("*",))})}
        atomic_text(place / _MARKER, json.dumps(marker))
    except DerainError:
        raise
    except Exception as error:
        raise _mapped(error, record, copy, place) or error from error
    finally:
        # Leave no empty folders behind.
        for folder in (place, root):
            with contextlib.suppress(OSError):
                folder.rmdir()
    return place


def _copy_of(record: DatasetRecord) -> HubCopy:
    if record.hub is not None:
        return record.hub
    on_hub = ", ".join(name for name, each in DATASETS.items() if each.hub)
    raise NothingToDoError(f"{record.name} is not on the Hub", remedy=Remedy.NOT_ON_HUB, page=record.page, names=on_hub)


def _read_marker(place: Path, repo: str) -> list[str]:
    """Patterns that were completely downloaded before."""
    try:
        marker = json.loads((place / _MARKER).read_text(encoding="utf-8"))
        return [str(each) for each in marker["only"]] if marker["repo"] == repo else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _fetch(record: DatasetRecord, copy: HubCopy, place: Path, tell: Callable[[str], None], progress: bool) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile

    endpoint = hub_address()
    api = HfApi(endpoint=endpoint, library_name="derain-cli")
    commit = api.dataset_info(copy.repo).sha
    tree = api.list_repo_tree(copy.repo, repo_type="dataset", revision=commit, recursive=True)
    sizes = {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}
    wanted = _wanted(sizes, copy)
    if not wanted:
        raise NothingToDoError(
            f"{copy.repo} on the Hub has no pictures of {record.name}", hint=f"get it from {record.page}"
        )
    missing = [path for path in wanted if not _is_whole(place / path, sizes[path])]
    _check_room(sum(sizes[path] for path in missing), any(map(_is_archive, missing)), place)
    size = sum(sizes[path] for path in wanted)
    tell(f"{record.name}: {len(wanted):,} files, {size / 1e6:,.1f} MB from {copy.repo} to {place}")
    tell(f"{record.name}: {record.licence.words}; authors' page: {record.page}")
    with bars(progress):
        snapshot_download(
            copy.repo,
            repo_type="dataset",
            revision=commit,
            local_dir=place,
            endpoint=endpoint,
            library_name="derain-cli",
            # Patterns instead of thousands of names if the files are plain pictures.
            allow_patterns=_patterns(copy, wanted),
        )
    short = [path for path in wanted if not _is_whole(place / path, sizes[path])]
    if short:
        raise NothingToDoError(
            f"{len(short):,} of {len(wanted):,} files are incomplete, first: {short[0]}",
            path=place,
            hint="run it again to resume the download",
        )


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in READABLE_SUFFIXES


def _wanted(sizes: dict[str, int], copy: HubCopy) -> list[str]:
    """The pictures of the set, or else the archives, which may contain other sets too."""
    pictures = [path for path in sizes if _is_picture(path) and _matches(path, copy.only)]
    if pictures:
        # Archives next to folders of pictures duplicate them.
        return pictures
    archives = [path for path in sizes if _is_archive(path)]
    return [path for path in archives if _matches(path, copy.only)] or archives


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _patterns(copy: HubCopy, wanted: Sequence[str]) -> list[str]:
    if any(map(_is_archive, wanted)):
        return [path.translate({ord("["): "[[]", ord("*"): "[*]", ord("?"): "[?]"}) for path in wanted]
    suffixes = sorted({PurePosixPath(path).suffix for path in wanted})
    return [f"{pattern}{suffix}" for pattern in copy.only or ("*",) for suffix in suffixes]


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _check_room(needed: int, archives: bool, place: Path) -> None:
    needed = needed * 2 if archives else needed  # packed and unpacked
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ResourceError(
            f"{needed / 1e9:,.1f} GB needed, {free / 1e9:,.1f} GB free",
            path=place,
            remedy=Remedy.MORE_SPACE_FOR_DATA,
        )


def _mapped(error: Exception, record: DatasetRecord, copy: HubCopy, place: Path) -> DerainError | None:
    """The expected failure of client, network or disk that `error` stands for; None for a bug in derain."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    full = resource_error_from(error, place)
    if full is not None:
        return full
    by_hand = f"get it from {record.page} manually and put it in {place}"
    if isinstance(error, RepositoryNotFoundError | GatedRepoError):
        return NothingToDoError(f"{copy.repo} is not on the Hub, or access is restricted", hint=by_hand)
    if isinstance(error, HfHubHTTPError):
        code = getattr(error.response, "status_code", "?")
        return NothingToDoError(f"the Hub refused {copy.repo} ({code})", hint=f"try again later, or {by_hand}")
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError | IsADirectoryError):
        return DestinationError(f"cannot write here: {error.strerror}", path=place, remedy=Remedy.OTHER_DATA_ROOT)
    if is_transport(error):
        return NothingToDoError(
            f"cannot get {copy.repo} from the Hub: {first_line(error)}",
            hint=f"run it again to resume the download, or {by_hand}",
        )
    return None


# --- archives ---------------------------------------------------------------------------------------------------------


def _archives(place: Path) -> list[Path]:
    found = []
    for where, folders, files in os.walk(place):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [Path(where, file) for file in sorted(files) if _is_archive(file)]
    return found


@dataclass(frozen=True)
class _Member:
    """A picture in an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path) -> Path:
    """Unpack the pictures of a zip or tar archive next to it, completely or not at all, and only once.

    An archive with a single top-level folder yields that folder, any other a folder named after the archive. Only
    pictures are written, and only below the folder; links and devices are skipped, absolute names and `..` refused.

    Returns:
        The folder.

    Raises:
        NothingToDoError: damaged, not an archive, malicious, or without pictures.
        DestinationError: a folder of that name exists that is not from this archive.
        ResourceError: the disk is full.
    """
    marker = archive.with_name(f".{archive.name}.unpacked")
    size = archive.stat().st_size
    before = _read_unpacked(marker)
    if before is not None and before[0] == size and (archive.parent / before[1]).is_dir():
        return archive.parent / before[1]
    partial = archive.with_name(f".{archive.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        _extract(archive, partial, size * MAX_RATIO)
        top = sorted(partial.iterdir())
        if not top:
            raise NothingToDoError("no pictures in the archive", path=archive)
        stem = next(archive.name[: -len(end)] for end in _BY_LENGTH if archive.name.lower().endswith(end))
        source, name = (top[0], top[0].name) if len(top) == 1 and top[0].is_dir() else (partial, stem)
        target = archive.parent / name
        if target.exists():
            if before is None or before[1] != name:  # not ours
                raise DestinationError("a folder of that name already exists", path=target, hint="move it away")
            shutil.rmtree(target)
        source.rename(target)
        atomic_text(marker, f"{size}\n{name}\n")
        return target
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise NothingToDoError(
            f"not a usable archive: {error}", path=archive, hint="delete it and run again"
        ) from error
    except OSError as error:
        full = resource_error_from(error, archive)
        if full is not None:
            raise full from error
        raise NothingToDoError(
            f"not a usable archive: {error}", path=archive, hint="delete it and run again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_unpacked(marker: Path) -> tuple[int, str] | None:
    """Size of the unpacked archive, and the name of its folder."""
    try:
        size, name, _ = marker.read_text(encoding="utf-8").split("\n")
        return int(size), name
    except (OSError, ValueError):
        return None


def _extract(archive: Path, folder: Path, limit: int) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            _write(_zip_members(packed), folder, limit, archive)
    else:
        with tarfile.open(archive) as packed_tar:
            _write(_tar_members(packed_tar), folder, limit, archive)


def _zip_members(packed: zipfile.ZipFile) -> Iterator[_Member]:
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not info.is_dir() and kind in (0, stat.S_IFREG):
            yield _Member(info.filename, info.file_size, lambda info=info: packed.open(info))  # type: ignore[misc]


def _tar_members(packed: tarfile.TarFile) -> Iterator[_Member]:
    for info in packed:
        if info.isreg():
            yield _Member(info.name, info.size, lambda info=info: packed.extractfile(info))  # type: ignore[misc]


def _write(members: Iterator[_Member], folder: Path, limit: int, archive: Path) -> None:
    written = 0
    for member in members:
        path = PurePosixPath(member.name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in member.name or "\0" in member.name:
            raise NothingToDoError("the archive has paths outside its folder", path=archive, hint="do not trust it")
        if not _is_picture(path.name) or any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        # Checked before writing; the readers of both formats stop at the stated size.
        written += member.size
        if written > limit:
            raise NothingToDoError("the archive unpacks to an implausible size", path=archive, hint="do not trust it")
        if member.size > shutil.disk_usage(folder).free:
            raise ResourceError("not enough disk space to unpack the archive", path=archive)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        if source is not None:
            with source, target.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
