"""Weights of the Hugging Face Hub, by its own client and cache."""

from __future__ import annotations

from pathlib import Path

from derain_cli.errors import WeightsError, resource_error_from

__all__ = ["from_hub"]


def from_hub(repo: str) -> Path:
    """Weights of a Hugging Face Hub repository, by its own client and cache; offline when HF_HUB_OFFLINE says so."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo, "derain.safetensors"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        full = resource_error_from(error)
        if full:
            raise full from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"cannot get hf:{repo}: {first}", hint="download derain.safetensors yourself and give its path"
        ) from error
