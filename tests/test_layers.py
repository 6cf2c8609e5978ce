"""The layers of the package and of each folder in it: modules import only from lower rows of their folder, and those
in a row don't know each other. So there are no circles, and what lies low can be read, tested and used without the
rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import derain_cli

PACKAGE = Path(derain_cli.__file__).parent

ROWS: dict[str, list[set[str]]] = {
    "": [
        {"remedies"},
        {"errors"},
        {"config", "system"},
        {"media", "model", "losses", "rain", "metrics"},
        {"datasets", "checkpoints", "motion"},
        {"data", "engine"},
        {"evaluation", "jobs"},
        {"serve", "training"},
        {"cli"},
    ],
    "config": [{"schema"}, {"cluster", "photo", "recipes", "restore", "training", "video"}],
    "system": [{"accelerators", "files", "finder", "hub_client", "locks", "memory", "provenance", "signals"}],
    "media": [{"pixels"}, {"borders", "clip", "hidden", "montage", "photo"}],
    "media/photo": [
        {"colour", "exif", "formats", "iptc", "jpeg", "libtiff", "png"},
        {"deep_samples", "packed"},
        {"metadata", "opening"},
        {"photo", "sixteen_bit"},
        {"decode", "encode"},
    ],
    "media/clip": [
        {"boxes", "hardware", "info", "libraries", "names"},
        {"damage", "pictures", "tables"},
        {"container"},
        {"encoding", "streams", "timing"},
        {"carried", "ending", "frame", "segments"},
        {"reader"},
        {"writing"},
        {"assembly", "joining"},
    ],
    "media/clip/carried": [{"sound", "subtitles", "timecode"}, {"tracks"}, {"covers"}],
    "media/clip/damage": [{"fragments", "holes"}, {"behind", "gaps"}],
    "media/clip/timing": [{"expected", "recordings"}],
    "model": [
        {"architecture", "convolution", "prelu"},
        {"blocks", "folding"},
        {"literature", "portable", "semi_drdnet"},
        {"attach", "average", "deepen", "fold", "frozen", "traceable"},
    ],
    "losses": [{"features", "memory_bank", "pixel", "style"}, {"contrastive"}],
    "rain": [
        {"curtain", "defocus", "draws", "finish", "streaks"},
        {"lookalikes", "profiles", "scene"},
        {"additive", "photographed"},
        {"apply", "motion"},
    ],
    "motion": [{"flow", "stacking"}, {"window"}],
    "metrics": [{"niqe", "psnr_ssim"}, {"no_reference"}],
    "datasets": [
        {"pairs"},
        {"fingerprint", "layouts", "sides"},
        {"catalogue", "finding"},
        {"opening"},
        {"download"},
    ],
    "checkpoints": [
        {"card", "hub_name", "vgg"},
        {"header", "hub"},
        {"find", "weight_file"},
        {"average", "hub_card", "publish", "run_state"},
        {"pretrained"},
    ],
    "data": [{"augment"}, {"datasets"}, {"clips"}, {"loaders"}],
    "engine": [
        {"hub_mixin", "memory", "onnx_file", "own", "processor", "protocol", "tensors", "tiling"},
        {"arrays", "device", "onnx_graph", "runtimes"},
        {"foreign", "gates"},
        {"graph_engine", "onnx_engine", "torch_engine"},
        {"choice", "export"},
        {"notebook", "passes"},
        {"restorer"},
    ],
    "evaluation": [
        {"baselines", "options", "published", "report_tables", "turns"},
        {"report_gallery"},
        {"names", "scores"},
        {"peers"},
        {"models"},
        {"document"},
        {"benchmark", "report_pictures"},
        {"report"},
    ],
    "jobs": [
        {"admission", "arrivals", "items", "ordered", "prefetch"},
        {"made", "outcome", "outputs"},
        {"clips", "frame_set", "photos", "synth"},
        {"cluster"},
    ],
    "jobs/cluster": [{"options"}, {"pool", "shares", "worker"}, {"ray_cluster", "run"}],
    "jobs/clips": [
        {"frame_restorer", "outcome", "parts", "preview", "survey", "temporal_filter"},
        {"beforehand", "chain", "forecast", "join", "reduced"},
        {"calibration", "run"},
    ],
    "jobs/frame_set": [
        {"layout", "options", "rain_score", "shots"},
        {"measure", "plan"},
        {"sampling", "study"},
        {"choice"},
        {"writing"},
    ],
    "jobs/photos": [{"headers", "options", "outcome"}, {"writing"}, {"run"}],
    "jobs/synth": [{"options", "pairs"}, {"manifest"}, {"plan", "run"}],
    "serve": [
        {"hints", "options", "remembered", "store"},
        {"entry", "refusal"},
        {"archive", "guard", "models", "previews", "registry", "uploads"},
        {"restoring"},
        {"worker"},
        {"app"},
        {"server"},
    ],
    "training": [
        {"curve", "muon", "objectives", "output", "pictures"},
        {"drift", "semi_supervised", "threads"},
        {"selection", "trainer"},
        {"run"},
    ],
    "training/run": [{"plan"}, {"data", "folder", "log", "start"}, {"validation"}, {"loop"}],
    "cli": [
        {"flags", "help", "hints", "log_file", "score_tables", "times"},
        {"console"},
        {"completion", "reporter"},
        {"options", "pipes", "tally"},
        {"export", "hub"},
        {"eval", "frames", "info", "items", "models", "run_progress", "runs", "serve", "synth"},
        {"clip_flags", "clips", "photos"},
        {"clip_jobs", "cluster"},
        {"derain", "finetune_real", "train", "video"},
        {"watch"},
    ],
}
"""By folder, from the bottom up. `__init__` stands above its folder and `__main__` above all."""

FOLDERS = sorted({file.parent.relative_to(PACKAGE).as_posix().removeprefix(".") for file in PACKAGE.rglob("*.py")})


def units(folder: str) -> set[str]:
    """Modules and packages directly in a folder."""
    place = PACKAGE / folder
    modules = {file.stem for file in place.glob("*.py")} - {"__init__", "__main__"}
    return modules | {file.parent.name for file in place.glob("*/__init__.py")}


def files(folder: str, unit: str) -> list[Path]:
    module = PACKAGE / folder / f"{unit}.py"
    return [module] if module.exists() else sorted((PACKAGE / folder / unit).rglob("*.py"))


def exists(parts: list[str]) -> bool:
    place = PACKAGE.joinpath(*parts)
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def imported(file: Path) -> Iterator[list[str]]:
    """Modules of the package imported by a file, also inside functions, as path parts; without type-only imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            top, *parts = (node.module or "").split(".")
            for alias in node.names if top == "derain_cli" else ():
                yield [*parts, alias.name] if exists([*parts, alias.name]) else parts
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("derain_cli") for alias in node.names), f"{file}: use from ... import"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_has_its_row(folder: str) -> None:
    rows = ROWS[folder]
    assert sum(map(len, rows)) == len(set().union(*rows)), "one row each"
    assert set().union(*rows) == units(folder)


@pytest.mark.parametrize(("folder", "unit"), [(folder, unit) for folder in FOLDERS for unit in sorted(units(folder))])
def test_a_module_imports_only_from_lower_rows(folder: str, unit: str) -> None:
    rows, inside = ROWS[folder], folder.split("/") if folder else []
    own = next(number for number, row in enumerate(rows) if unit in row)
    allowed = {unit}.union(*rows[:own])
    for file in files(folder, unit):
        for parts in imported(file):
            if parts[: len(inside)] != inside:
                continue  # of another folder, checked there
            if len(parts) == len(inside):
                assert not folder, f"{file} imports the folder that it lies in"
                continue  # the version of the program
            assert parts[len(inside)] in allowed, f"{file} imports {'.'.join(parts)}"
