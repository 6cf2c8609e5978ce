"""The manifest of the pairs: records how they were made, so that others are never mixed in unnoticed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from derain_cli import __version__
from derain_cli.errors import DestinationError
from derain_cli.jobs.synth.options import SynthOptions
from derain_cli.jobs.synth.pairs import SynthPlan, pair_folders
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_text

__all__ = ["MANIFEST", "read_manifest", "refuse_other_kind", "write_manifest"]

MANIFEST = "synth.json"
"""Name of the manifest in the output folder."""


def _layout(options: SynthOptions) -> dict[str, Any]:
    """Settings that determine file names. Pairs that differ in these must not share a folder: they would be found twice
    or not at all."""
    return {"format": options.format, "folder_per_profile": options.has_groups, "numbered": options.variants > 1}


def _rain(options: SynthOptions) -> dict[str, Any]:
    """Settings common to all pairs. Pairs that differ in these may only replace each other."""
    same = {"seed": options.seed, "target": options.target, "max_side": options.max_side}
    return same if options.has_groups else {"profile": options.profiles[0], **same}


def read_manifest(out: Path, options: SynthOptions) -> dict[str, Any] | None:
    path = out / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest["sources"], dict) or not isinstance(manifest["layout"], dict):
            raise TypeError
        return {**manifest, "rain": dict(manifest["rain"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if options.overwrite:
            return None
        raise DestinationError(
            "not a manifest of derain synth", path=path, remedy=Remedy.OTHER_OUTPUT_OR_REPLACE
        ) from error


def refuse_other_kind(manifest: Mapping[str, Any] | None, out: Path, options: SynthOptions) -> dict[str, str]:
    """The sources of earlier runs.

    Raises:
        DestinationError: the contents of the output folder would mix with the new pairs.
    """
    if manifest is None:
        for place in pair_folders(out, *(options.profiles if options.has_groups else ())):
            in_the_way = options.has_groups and place.parent == out  # would hide the profile folders
            if (in_the_way or not options.overwrite) and place.is_dir() and any(place.iterdir()):
                raise DestinationError(
                    "contains files not created by derain synth", path=place, remedy=Remedy.OTHER_OUTPUT
                )
        return {}
    for part, wanted, may_replace in (("layout", _layout(options), False), ("rain", _rain(options), True)):
        there = manifest[part]
        differing = [key for key in wanted if there.get(key) != wanted[key]]
        if differing and not (may_replace and options.overwrite):
            key = differing[0]
            raise DestinationError(
                f"contains pairs with {key.replace('_', ' ')} {there.get(key)!r}, not {wanted[key]!r}",
                path=out,
                remedy=Remedy.OTHER_OUTPUT_OR_REPLACE if may_replace else Remedy.OTHER_OUTPUT,
            )
    return {str(name): str(source) for name, source in manifest["sources"].items()}


def write_manifest(todo: SynthPlan, options: SynthOptions, *, complete: bool, without: Collection[str] = ()) -> None:
    content = {
        "made_by": "derain synth",
        "version": __version__,
        "complete": complete,
        "layout": _layout(options),
        "rain": _rain(options),
        "profiles": list(options.profiles),
        "variants": options.variants,
        "sources": {name: source for name, source in sorted(todo.sources.items()) if name not in without},
    }
    path, text = todo.out / MANIFEST, json.dumps(content, indent=1) + "\n"
    if not (path.is_file() and path.read_bytes() == text.encode()):  # a run with nothing to do changes nothing
        atomic_text(path, text)
