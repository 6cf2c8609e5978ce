"""Weights from the Hugging Face Hub, through its client and cache."""

from __future__ import annotations

import logging
from pathlib import Path

from derain_cli.errors import WeightsError, resource_error_from

__all__ = ["from_hub"]

_FILE = "derain.safetensors"
_BY_HAND = f"download {_FILE} manually and pass its path"
_TIMEOUT = 5.0


def from_hub(repo: str) -> Path:
    """Weights of a Hugging Face Hub repository, through its client and cache; offline if HF_HUB_OFFLINE is set.

    Raises:
        WeightsError: not in the cache and not downloadable.
        ResourceError: the disk is full.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # we report what users need to know
    offline = constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT)
    try:
        return Path(hf_hub_download(repo, _FILE, local_files_only=offline))
    except LocalEntryNotFoundError as error:
        reason = "it is not in the cache, and the Hub cannot be reached"
        if constants.HF_HUB_OFFLINE:
            reason = "it is not in the cache, and HF_HUB_OFFLINE is set"
        raise WeightsError(f"cannot get hf:{repo}: {reason}", hint=_BY_HAND) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        full = resource_error_from(error)
        if full:
            raise full from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"cannot get hf:{repo}: {first}", hint=_BY_HAND) from error


def _answers(endpoint: str) -> bool:
    """Whether the Hub can be reached at all; its client would keep trying for half a minute."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=_TIMEOUT)
    except Exception:  # depends on the HTTP library of the client's version
        return False
    return True
