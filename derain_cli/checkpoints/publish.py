"""Publishing of models on the Hugging Face Hub, through its client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from derain_cli import __version__
from derain_cli.checkpoints.hub import Why, transfer
from derain_cli.checkpoints.hub_name import HubName
from derain_cli.checkpoints.weight_file import Weights
from derain_cli.errors import DestinationError, resource_error_from
from derain_cli.system.hub_client import first_line, hub_address

__all__ = ["Published", "publish"]

_TIMEOUT = 10.0
_TOKEN = "set HF_TOKEN to a token that may write, or run `hf auth login`"


@dataclass(frozen=True)
class Published:
    """A commit on the Hub, or the existing one if nothing has changed."""

    name: HubName
    commit: str
    private: bool
    created: bool


def publish(
    name: HubName, weights: Weights, files: Mapping[str, bytes], *, private: bool = False, show: bool = True
) -> Published:
    """Commit files to a model's repository, all together or none; the repository is created if it is missing.

    Args:
        name: of the model; its revision is the branch to commit to, created if missing.
        weights: named in the commit's message.
        files: contents by name; other files in the repository stay.
        private: create a private repository. An existing one has to be private already.
        show: whether the client shows its progress bars on stderr.

    Raises:
        DestinationError: no token, no right to write, a public repository although `private`, or the Hub cannot be
            reached.
        ResourceError: out of memory or disk space.
    """
    message = f"Weights {weights.card.name}, SHA-256 {weights.sha256[:16]} (derain {__version__})"
    with transfer(name, _refused, show=show):
        try:
            return _publish(name, files, " ".join(message.split()), private)
        except ValueError as error:  # such as metadata that the Hub refuses
            if isinstance(error, OSError) or resource_error_from(error) is not None:
                raise
            raise _refused(name, Why(first_line(error))) from error


def _publish(name: HubName, files: Mapping[str, bytes], message: str, private: bool) -> Published:
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    token = get_token()
    if token is None:
        raise _refused(name, Why("there is no token", _TOKEN))
    api = HfApi(endpoint=hub_address(), token=token, library_name="derain-cli")
    created = False
    try:
        is_private = bool(api.model_info(name.repo, timeout=_TIMEOUT).private)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        api.create_repo(name.repo, private=private, exist_ok=False)
        is_private, created = private, True
    if private and not is_private:
        raise _refused(
            name, Why("the repository exists and is public", "choose another name, or make it private first")
        )
    if name.revision is not None:
        api.create_branch(name.repo, branch=name.revision, exist_ok=True)
    made = api.create_commit(
        name.repo,
        operations=[CommitOperationAdd(path, content) for path, content in files.items()],
        commit_message=message,
        revision=name.revision,
    )
    return Published(name, made.oid, is_private, created)


def _refused(name: HubName, known: Why) -> DestinationError:
    return DestinationError(f"cannot publish {name} on the Hub: {known.reason}", hint=known.hint)
