"""Locates weights: those shipped with the program, files, and the Hub's. No torch."""

from __future__ import annotations

from pathlib import Path

from derain_cli.checkpoints.hub import WEIGHTS_FILE, cached, pull
from derain_cli.checkpoints.hub_name import HubName
from derain_cli.errors import WeightsError

__all__ = ["DEFAULT_CLIP_MODEL", "DEFAULT_MODEL", "find_weights", "installed_models"]

DEFAULT_MODEL = "fast"

DEFAULT_CLIP_MODEL = "clip"
"""For clips; weights/clip.md has the comparison with `fast`."""


def _weight_folders() -> list[Path]:
    # A wheel has the weights inside the package, a checkout beside it.
    package = Path(__file__).parents[1]
    return [folder for folder in (package / "weights", package.parent / "weights") if folder.is_dir()]


def installed_models() -> dict[str, Path]:
    """Weight files shipped with the program, by name."""
    found: dict[str, Path] = {}
    for folder in _weight_folders():
        for path in sorted(folder.glob("*.safetensors")):
            found.setdefault(path.stem, path)
    return found


def find_weights(name_or_path: str) -> Path:
    """The weight file for a name or path. No network is used for what is on this machine.

    Args:
        name_or_path: an installed model; a weight file, or a folder with `model.safetensors` as written by
            `Restorer.save_pretrained`; or a model on the Hub, `owner/name` or `owner/name@revision`, which is
            downloaded if it was not pulled before. `owner/name` is a path if there is such a file; if there is a folder
            `owner`, it is not downloaded. `hf:owner/name` is never a path.

    Raises:
        WeightsError: no such model, or the Hub's cannot be fetched.
        UsageError: `hf:` without a valid name.
        ResourceError: the disk is full.
    """
    installed = installed_models()
    if name_or_path in installed:
        return installed[name_or_path]
    path, explicit = Path(name_or_path), name_or_path.startswith("hf:")
    if not explicit and path.exists():
        inside = path / WEIGHTS_FILE
        return inside if inside.is_file() else path
    name = HubName.meant_by(name_or_path)
    if name is not None:
        pulled = cached(name)
        if pulled is not None:
            return pulled
        if explicit:
            return pull(name)
        if not path.parent.is_dir():
            try:
                return pull(name)
            except WeightsError as error:
                raise WeightsError(f"no file {name_or_path}; {error.reason}", hint=error.hint) from error
    if path.suffix or len(path.parts) > 1:
        return path
    known = ", ".join(installed) or "none"
    raise WeightsError(f"no model named {name_or_path!r}", hint=f"installed: {known}; or give a .safetensors file")
