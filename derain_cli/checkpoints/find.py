"""Locates weights: those shipped with the program, files, and the Hub's. No torch."""

from __future__ import annotations

from pathlib import Path

from derain_cli.checkpoints.hub import from_hub
from derain_cli.errors import WeightsError

__all__ = ["DEFAULT_MODEL", "find_weights", "installed_models"]

DEFAULT_MODEL = "fast"


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
    """The weight file for the name of an installed model, a Hub model (`hf:ORG/REPO`), or the path itself.

    Raises:
        WeightsError: no such model, or the Hub's cannot be fetched.
    """
    if name_or_path.startswith("hf:"):
        return from_hub(name_or_path.removeprefix("hf:"))
    installed = installed_models()
    if name_or_path in installed:
        return installed[name_or_path]
    path = Path(name_or_path)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    known = ", ".join(installed) or "none"
    raise WeightsError(f"no model named {name_or_path!r}", hint=f"installed: {known}; or give a .safetensors file")
