"""Creates pairs and reads the results."""

from __future__ import annotations

import json
from pathlib import Path

from derain_cli.jobs.synth.manifest import MANIFEST
from derain_cli.jobs.synth.options import SynthOptions
from derain_cli.jobs.synth.pairs import SynthPlan
from derain_cli.jobs.synth.plan import plan_synthesis
from derain_cli.jobs.synth.run import SynthOutcome, synthesize


def make(folder, out, recursive=False, **settings) -> tuple[SynthPlan, list[SynthOutcome]]:
    options = SynthOptions(**settings)
    todo = plan_synthesis([str(folder)], out, options, recursive=recursive)
    outcomes: list[SynthOutcome] = []
    synthesize(todo, options, report=outcomes.append)
    return todo, outcomes


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def pictures(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if name != MANIFEST}


def manifest(out: Path) -> dict:
    return json.loads((out / MANIFEST).read_text())
