"""Weights from the Hugging Face Hub, through its client and its cache. Only safetensors files; nothing is executed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from derain_cli.checkpoints.hub_name import HubName
from derain_cli.errors import DerainError, WeightsError, resource_error_from
from derain_cli.system.hub_client import bars, first_line, hub_address, is_transport, quiet_client

__all__ = ["WEIGHTS_FILE", "Why", "cached", "discard", "pull", "transfer"]

WEIGHTS_FILE = "model.safetensors"
"""In a repository, and in a folder of the same form."""

_LARGEST = 1 << 30
"""Bytes; the paper's network has 21 MB. Weight files are read into memory."""
_TIMEOUT = 5.0
_ACCESS = "set HF_TOKEN to a token with access, or run `hf auth login`"
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
_CUT = {"RemoteProtocolError", "ReadError", "WriteError", "ChunkedEncodingError"}
_SILENT = {"ConnectError", "TimeoutException", "ConnectionError", "Timeout", "OfflineModeIsEnabled"}


class Why(NamedTuple):
    """What the Hub, its client or the network objects to, and what to do about it."""

    reason: str
    hint: str | None = None


class _Facts(NamedTuple):
    """What the Hub says of a file."""

    etag: str
    size: int | None


def cached(name: HubName) -> Path | None:
    """The weights if they were pulled before; no network is used."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name.repo, WEIGHTS_FILE, revision=name.revision)
    return Path(found) if isinstance(found, str) else None


def pull(name: HubName, *, show: bool = True) -> Path:
    """The newest weights of this name, in the client's cache; downloaded unless they are there, and compared with the
    hash that the Hub states. A file that differs is removed.

    Args:
        name: of the model.
        show: whether the client shows its progress bars on stderr.

    Raises:
        WeightsError: they are not there, may not be read, or cannot be downloaded completely.
        ResourceError: the disk is full.
    """
    from huggingface_hub import hf_hub_download

    with transfer(name, _refused, show=show):
        for _ in range(2):  # the first file may come from the cache, where it was damaged
            facts = _look_up(name)
            # With a commit, the client would not note which one the branch is at, and find nothing offline.
            path = Path(hf_hub_download(name.repo, WEIGHTS_FILE, revision=name.revision, endpoint=hub_address()))
            if _has_content(path, facts):
                return path
            discard(path)
    raise _refused(name, Why("what came is damaged: its hash is not the one that the Hub states", "try again later"))


@contextmanager
def transfer(name: HubName, refused: Callable[[HubName, Why], DerainError], *, show: bool) -> Iterator[None]:
    """Within the context the client is quiet, and its errors become ours.

    Args:
        name: of the model.
        refused: makes the error for what the Hub, its client or the network objects to.
        show: whether the client shows its progress bars on stderr.

    Raises:
        DerainError: what `refused` made.
        ResourceError: out of memory or disk space.
    """
    quiet_client()
    try:
        with bars(show):
            yield
    except DerainError:
        raise
    except Exception as error:
        full = resource_error_from(error)
        if full is not None:
            raise full from error
        known = why(error, name)
        if known is None:
            raise
        raise refused(name, known) from error


def discard(path: Path) -> None:
    """Remove a file from the cache, so that it is not used again."""
    content = path.resolve()
    path.unlink(missing_ok=True)
    content.unlink(missing_ok=True)


def why(error: BaseException, name: HubName) -> Why | None:
    """What an error of the client, its HTTP library or the network means; None for other errors."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return why(error.__cause__, name)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Why("HF_HUB_OFFLINE is set")
    if isinstance(error, errors.GatedRepoError):
        return Why("its owner has to grant access", f"ask for access on its page on the Hub, then {_ACCESS}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return Why("no such repository, or a private one", f"check the name; for a private one, {_ACCESS}")
    if isinstance(error, errors.RevisionNotFoundError):
        return Why(f"it has no revision {name.revision or 'main'}")
    if isinstance(error, errors.FileMetadataError):
        return Why("what answers is not a Hub", "check HF_ENDPOINT and proxy settings")
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error.response.status_code)
    if not is_transport(error):
        return None
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & _CUT or "Consistency check" in str(error):
        return Why("the transfer broke off", "try again")
    if kinds & _SILENT:
        return Why("the Hub cannot be reached")
    return Why(first_line(error))


def _refusal(status: int) -> Why:
    if status == 401:
        return Why("the Hub does not accept the token", _ACCESS)
    if status == 403:
        return Why("the token gives no right to do this", _ACCESS)
    if status == 429:
        return Why("too many requests", "try again later")
    return Why(f"the Hub answers with an error ({status})", "try again later" if status >= 500 else None)


def _refused(name: HubName, known: Why) -> WeightsError:
    there = "the copy pulled before can still be used" if cached(name) else None
    hint = (
        "; ".join(each for each in (known.hint, there) if each) or f"get {WEIGHTS_FILE} by other means, give its path"
    )
    return WeightsError(f"cannot get {name} from the Hub: {known.reason}", hint=hint)


def _look_up(name: HubName) -> _Facts:
    """What the Hub says of the weights. The client's own request would be repeated for half a minute."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, FileMetadataError

    url = hf_hub_url(name.repo, WEIGHTS_FILE, revision=name.revision, endpoint=hub_address())
    try:
        found = get_hf_file_metadata(url, timeout=_TIMEOUT)
    except EntryNotFoundError as error:
        raise _refused(name, Why(_without_weights(name), "derain models only")) from error
    if found.etag is None or found.commit_hash is None:
        raise FileMetadataError
    if found.size is not None and found.size > _LARGEST:
        raise _refused(name, Why(f"{WEIGHTS_FILE} has {found.size / 1e9:.1f} GB", "derain models are far smaller"))
    return _Facts(found.etag, found.size)


def _without_weights(name: HubName) -> str:
    from huggingface_hub import HfApi

    reason = f"it has no {WEIGHTS_FILE}"
    try:
        info = HfApi(endpoint=hub_address()).model_info(name.repo, revision=name.revision, timeout=_TIMEOUT)
    except Exception:  # only to say more
        return reason
    files: Sequence[str] = [each.rfilename for each in info.siblings or ()]
    pickled = [each for each in files if PurePosixPath(each).suffix.lower() in _PICKLES]
    return f"{reason}, only pickled weights ({pickled[0]}), which are never loaded" if pickled else reason


def _has_content(path: Path, facts: _Facts) -> bool:
    """Whether the file is the one that the Hub described: an LFS file's SHA-256, or a git blob's SHA-1."""
    size = path.stat().st_size
    if facts.size is not None and size != facts.size:
        return False
    if re.fullmatch("[0-9a-f]{64}", facts.etag):
        digest = hashlib.sha256()
    elif re.fullmatch("[0-9a-f]{40}", facts.etag):
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        return True  # no hash; weight files have their own
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest() == facts.etag
