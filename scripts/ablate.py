"""Train the rows of an ablation table at equal compute over several seeds; print mean and spread.

    python scripts/ablate.py OUT --table parts [size size-small drn contrast losses attach]
        --dataset DIR [--layers DIR] [--clean DIR] --val DIR [--real DIR --vgg FILE] [--examine DIR]
        [--recipe fast] [--from NAME|FILE] [--set table.key=value] [--steps 300] [--seeds 0 1 2] [--equal macs|steps]

Tables (`--list` prints their rows and switches):
    parts      Table II: without SE, with SE, the four kinds of DRN, the whole method
    size       Table III: M 16, 32, 64 by D 8, 12, 16
    size-small Table III for small machines: M 8, 16, 32 by D 2, 4, 8
    drn        Table V and more: no DRN, direct, residual, MSARR, SDCAB
    contrast   Table VII: none, standard, with more positives, with more negatives, both
    losses     Fig. 13: each loss on and off
    attach     Tables IV and VIII: two networks from the literature with and without DRN, with and without contrast

Equal compute means equal multiply-accumulates of the deraining network times patches (`--equal macs`): the most
expensive row of a table runs `--steps` steps, cheaper rows proportionally more. The additional cost of contrast, in the
feature network and during training only, is not counted: rows with and without it run the same steps on the same
patches, as in the paper; the column patches/s shows the cost. `--equal steps` gives all rows the same steps, as in the
paper's tables.

Every row of a seed sees the same data in the same order, so the gain over the first row (of the same network, in
`attach`) is computed per seed. Scores are those of the weights at the end of the run, not of the best validation. The
limits on the change of real photos are disabled (`--set contrast.max_change=15` enables one again): the effect of a row
on them is in its columns. Run the same command again to resume: finished rows are skipped, interrupted ones continue.
OUT/TABLE.md and OUT/TABLE.csv hold the table, OUT/results/ a file per row and seed, OUT/runs/ the runs themselves.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import nn

from derain_cli.cli.runs import RunFlags
from derain_cli.config import ModelConfig, differing_keys, to_mapping
from derain_cli.datasets.pairs import list_photos
from derain_cli.engine.device import pick_device
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import DerainError, NothingToDoError, TrainingError, UsageError
from derain_cli.evaluation.peers import as_peer
from derain_cli.evaluation.scores import evaluate_unpaired
from derain_cli.evaluation.turns import Picture
from derain_cli.model import attach_drn, build
from derain_cli.model.architecture import macs_per_pixel
from derain_cli.model.attach import DerainedOnly
from derain_cli.model.literature import DeepDetailNetwork, ProgressiveRecurrentNetwork
from derain_cli.system.files import atomic_bytes
from derain_cli.training.run import RunPlan, SilentListener, train
from derain_cli.training.trainer import StepReport

BASES: dict[str, Callable[[], nn.Module]] = {"DDN": DeepDetailNetwork, "PReNet": ProgressiveRecurrentNetwork}
"""Networks to attach a DRN to, by name; all of them return clean pictures."""


@dataclass(frozen=True)
class Row:
    """A row of a table: its switches in the notation of `--set`, and the network from `BASES` ("" is our own)."""

    name: str
    settings: tuple[str, ...] = ()
    base: str = ""


@dataclass(frozen=True)
class Table:
    """Rows to compare; gains are relative to the first row of each network. `settings` are defaults that `--set`
    overrides."""

    about: str
    rows: tuple[Row, ...]
    settings: tuple[str, ...] = ()


_NO_BOUNDS = ("contrast.max_change=255", "contrast.max_colour=255")
"""Drift from the real photos should be visible, not end a run; young networks shift colours at first."""

_NONE, _BOTH = "contrast.mode=none", "contrast.mode=both"

_SAME_DEPTH = "model.detail_blocks=0"
"""As many detail blocks as rain residual blocks, regardless of the recipe."""


def _sizes(about: str, widths: Sequence[int], depths: Sequence[int]) -> Table:
    """A table of all combinations of widths and depths."""
    sizes = ((m, d) for d in depths for m in widths)
    rows = (Row(f"M={m} D={d}", (f"model.width={m}", f"model.blocks={d}")) for m, d in sizes)
    return Table(about, tuple(rows), (_NONE, _SAME_DEPTH))


TABLES: dict[str, Table] = {
    "parts": Table(
        "Table II: the parts of the network",
        (
            Row("BL", ("model.se=false", "model.detail=none", _NONE)),
            Row("BL+SE", ("model.se=true", "model.detail=none", _NONE)),
            Row("BL+SE+DB", ("model.se=true", "model.detail=direct", _NONE)),
            Row("BL+SE+RB", ("model.se=true", "model.detail=residual", _NONE)),
            Row("BL+SE+SDCAB", ("model.se=true", "model.detail=sdcab", _NONE)),
            Row("Semi-DRDNet", ("model.se=true", "model.detail=sdcab", _BOTH)),
        ),
    ),
    "size": _sizes("Table III: width M and depth D", (16, 32, 64), (8, 12, 16)),
    "size-small": _sizes("Table III at half the widths and depths and less", (8, 16, 32), (2, 4, 8)),
    "drn": Table(
        "Table V: the block of the DRN",
        tuple(Row(block, (f"model.detail={block}",)) for block in ("none", "direct", "residual", "msarr", "sdcab")),
        (_NONE,),
    ),
    "contrast": Table(
        "Table VII: the samples of the contrastive terms",
        tuple(Row(mode, (f"contrast.mode={mode}",)) for mode in ("none", "standard", "positives", "negatives", "both")),
    ),
    "losses": Table(
        "Fig. 13: the losses",
        (
            Row("Ld", ("optim.rain_weight=0", _NONE)),
            Row("Ld+Lr", (_NONE,)),
            Row("Ld+Lr+Ldual", (_BOTH, "contrast.unsup_weight=0")),
            Row("Ld+Lr+Lunsup", (_BOTH, "contrast.dual_weight=0")),
            Row("Ld+Ldual+Lunsup", (_BOTH, "optim.rain_weight=0")),
            Row("all", (_BOTH,)),
        ),
        # lambda_r of the paper: a recipe may omit the rain loss, and half of the rows would then be duplicates.
        ("optim.rain_weight=0.5",),
    ),
    "attach": Table(
        "Tables IV and VIII: DRN and contrast with networks from the literature",
        tuple(
            Row(base + with_drn + with_contrast, (f"model.detail={detail}", f"contrast.mode={mode}"), base)
            for base in BASES
            for with_contrast, mode in (("", "none"), (" w/ Dual", "both"))
            for with_drn, detail in (("", "none"), (" w/ DRN", "sdcab"))
        ),
        ("model.width=16", "model.blocks=4", _SAME_DEPTH, "model.unshuffle=1"),
    ),
}


class Cost(NamedTuple):
    """Number of weights of a deraining network, and multiply-accumulates of its convolutions per pixel."""

    parameters: int
    macs: float


def make_network(row: Row, config: ModelConfig, seed: int) -> nn.Module | None:
    """A network from the literature with its DRN; None for our own, which the run builds from `config`."""
    if not row.base:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return attach_drn(BASES[row.base](), config, gives="clean")


def cost(row: Row, config: ModelConfig) -> Cost:
    """The cost of a pixel."""
    network = make_network(row, config, 0)
    if network is None:
        with torch.device("meta"):
            return Cost(sum(p.numel() for p in build(config).parameters()), macs_per_pixel(config))
    peer = as_peer(DerainedOnly(network), torch.device("cpu"))
    assert peer.parameters is not None and peer.macs_per_pixel is not None
    return Cost(peer.parameters, peer.macs_per_pixel)


@dataclass(frozen=True)
class Study:
    """Options of this script.

    Attributes:
        out: folder for results and runs.
        flags: data, recipe, starting weights and device, as for `derain train`.
        real: photos of real rain.
        steps: of the most expensive row of a table.
        equal: `macs` or `steps`.
        photos: evaluated without ground truth when a row is finished.
    """

    out: Path
    flags: RunFlags
    real: tuple[Path, ...] = ()
    steps: int = 300
    equal: str = "macs"
    photos: tuple[Path, ...] = ()

    def plan(self, table: str, row: Row, seed: int, steps: int) -> RunPlan:
        """The run of a row and seed. Switches of the row override `--set`, which overrides the table's defaults."""
        rhythm = (f"loop.seed={seed}", f"optim.steps={steps}", f"loop.validate_every={steps}")
        settings = [*_NO_BOUNDS, *TABLES[table].settings, *(self.flags.set_ or ()), *row.settings, *rhythm]
        out = self.out / "runs" / table / f"{_file_name(row.name)}-seed{seed}"
        resume = (out / "run.json").exists()
        return replace(self.flags, output=out, set_=settings, resume=resume).plan(list(self.real))

    def row_steps(self, table: str) -> dict[str, int]:
        """Steps of every row of a table, by name."""
        rows = TABLES[table].rows
        if self.equal == "steps":
            return {row.name: self.steps for row in rows}
        macs = {row.name: cost(row, self.plan(table, row, 0, 1).config.model).macs for row in rows}
        dearest = max(macs.values())
        return {name: round(self.steps * dearest / each) for name, each in macs.items()}


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "+=" else "_" for c in name)


class _Telling(SilentListener):
    """Prints an occasional progress line, and every note."""

    def __init__(self, name: str, every: int):
        self.name, self.every = name, every

    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None:
        if report.step % self.every == 0:
            say(f"{self.name}: step {report.step}, loss {report.loss:.4f}, {patches_per_second:.1f} patches/s")

    def note(self, text: str) -> None:
        say(f"{self.name}: {text}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- running ------------------------------------------------------------------------------------------------------


def result_path(study: Study, table: str, row: Row, seed: int) -> Path:
    return study.out / "results" / table / f"{_file_name(row.name)}-seed{seed}.json"


def finished(path: Path, study: Study, plan: RunPlan) -> bool:
    """Whether the result of a run exists.

    Raises:
        UsageError: it exists, but for other settings or data.
    """
    if not path.exists():
        return False
    kept = json.loads(path.read_text(encoding="utf-8"))
    different = differing_keys({k: kept[k] for k in ("config", "data")}, _identity(study, plan))
    if different:
        raise UsageError(f"different {', '.join(different)}", path=path, hint="choose another output folder")
    return True


def _identity(study: Study, plan: RunPlan) -> dict[str, Any]:
    """What a result depends on, without revealing anything about the machine."""
    places = {
        "datasets": plan.datasets,
        "layers": plan.layers,
        "photos": plan.photos,
        "real": plan.real,
        "validation": plan.validation,
        "examined": study.photos,
    }
    data = {name: ["/".join(Path(each).parts[-2:]) for each in items] for name, items in places.items()}
    return {"config": to_mapping(plan.config), "data": data | {"start": Path(plan.start or "").stem}}


def run_row(study: Study, table: str, row: Row, seed: int, plan: RunPlan) -> str:
    """Train a row and write its result; returns the reason for stopping early, or "".

    Raises:
        DerainError: as for `train`.
    """
    model = make_network(row, plan.config.model, seed)
    result = train(plan, _Telling(f"{table}, {row.name}, seed {seed}", plan.config.loop.log_every), model)
    if not result.finished:
        return result.stopped
    with (plan.out / "log.jsonl").open(encoding="utf-8") as file:
        newest = {record["kind"]: record for record in map(json.loads, file)}
    metrics = {n: value for n, value in newest["validation"].items() if "/" in n or n == "mean_psnr_rgb"}
    if study.photos:
        found = evaluate_unpaired(_restorer(plan, model), study.photos).mean.as_dict()
        metrics |= {f"photos/{name}": value for name, value in found.items()}
    spent = cost(row, plan.config.model)
    record = _identity(study, plan) | {
        "table": table,
        "row": row.name,
        "seed": seed,
        "steps": result.step,
        "parameters": spent.parameters,
        "macs_per_pixel": spent.macs,
        # From the log: a run interrupted after its last step has no rate of its own.
        "patches_per_second": newest.get("train", {}).get("patches_per_second", result.patches_per_second),
        "metrics": metrics,
    }
    path = result_path(study, table, row, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_bytes(path, json.dumps(record, indent=1).encode(), overwrite=True)
    return ""


def _restorer(plan: RunPlan, model: nn.Module | None) -> Callable[[Picture], Picture]:
    """The network at the end of the run."""
    weights = plan.out / "last.safetensors"
    if model is None:
        return Restorer.from_pretrained(weights, device=plan.device)
    model.load_state_dict(safetensors.torch.load_file(weights))
    return as_peer(DerainedOnly(model), pick_device(plan.device))


def run_table(study: Study, table: str, rows: Sequence[Row], seeds: Sequence[int], until: float) -> tuple[int, str]:
    """Train unfinished rows, all rows of a seed before the next seed: (failed rows, reason for stopping)."""
    steps, failed = study.row_steps(table), 0
    for seed in seeds:
        for row in rows:
            plan = study.plan(table, row, seed, steps[row.name])
            if finished(result_path(study, table, row, seed), study, plan):
                continue
            left = (until - time.monotonic()) / 60
            if left <= 0:
                return failed, "time"
            timed = plan if left == float("inf") else replace(plan, minutes=left)
            try:
                stopped = run_row(study, table, row, seed, timed)
            except TrainingError as error:
                # For example a row that changes photos too much: the others are still worth running.
                failed += 1
                say(f"{table}, {row.name}, seed {seed} failed: {error}")
                continue
            if stopped:
                return failed, stopped
    return failed, ""


# --- output -------------------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds; the latter is None for a single seed."""

    mean: float
    deviation: float | None

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def show(self, places: int, sign: str = "") -> str:
        text = f"{self.mean:{sign}.{places}f}"
        return text if self.deviation is None else f"{text} ± {self.deviation:.{places}f}"


class Line(NamedTuple):
    """A row of a finished table; `gain` is that of the mean PSNR (rgb) over the first row of its network, per seed."""

    row: str
    seeds: int
    steps: int
    parameters: int
    macs_per_pixel: float
    patches_per_second: float
    gain: Spread | None
    metrics: Mapping[str, Spread]


def lines(study: Study, table: str, seeds: Sequence[int]) -> list[Line]:
    """The finished rows of a table, in order."""
    found: list[Line] = []
    firsts: dict[str, dict[int, float]] = {}
    for row in TABLES[table].rows:
        paths = {seed: result_path(study, table, row, seed) for seed in seeds}
        results = {s: json.loads(p.read_text(encoding="utf-8")) for s, p in paths.items() if p.exists()}
        if not results:
            continue
        scores = {seed: result["metrics"]["mean_psnr_rgb"] for seed, result in results.items()}
        first = firsts.setdefault(row.base, scores)
        gains = [scores[seed] - first[seed] for seed in scores if seed in first]
        one = next(iter(results.values()))
        names = [n for n in one["metrics"] if all(n in result["metrics"] for result in results.values())]
        found.append(
            Line(
                row=row.name,
                seeds=len(results),
                steps=one["steps"],
                parameters=one["parameters"],
                macs_per_pixel=one["macs_per_pixel"],
                patches_per_second=statistics.fmean(r["patches_per_second"] for r in results.values()),
                gain=Spread.of(gains) if gains and scores is not first else None,
                metrics={n: Spread.of([result["metrics"][n] for result in results.values()]) for n in names},
            )
        )
    return found


_SHOWN = {"psnr_rgb": ("PSNR rgb", 2), "ssim_rgb": ("SSIM rgb", 4), "psnr_y": ("PSNR y", 2)}
_FIGURES = ("streak_energy_removed", "other_energy_kept", "gradient_energy_kept", "mean_change")


def as_markdown(table: str, found: Sequence[Line], equal: str) -> str:
    """The table with mean and sample standard deviation over the seeds."""
    names = list(found[0].metrics) if found else []
    looked = "photos" if any(n.startswith("photos/") for n in names) else "real"
    shown = {n: (f"{n.partition('/')[0]} {_SHOWN[k][0]}", _SHOWN[k][1]) for n in names for k in _SHOWN if n.endswith(k)}
    shown.pop("mean_psnr_rgb", None)
    shown |= {f"{looked}/{f}": (f"{looked} {f.replace('_', ' ')}", 3) for f in _FIGURES if f"{looked}/{f}" in names}
    head = ["row", "seeds", "steps", "M weights", "kMAC/px", "patches/s", *(h for h, _ in shown.values()), "gain, dB"]
    body = [
        [
            line.row,
            str(line.seeds),
            str(line.steps),
            f"{line.parameters / 1e6:.3f}",
            f"{line.macs_per_pixel / 1e3:.1f}",
            f"{line.patches_per_second:.1f}",
            *(line.metrics[n].show(places) if n in line.metrics else "" for n, (_, places) in shown.items()),
            line.gain.show(2, "+") if line.gain else "",
        ]
        for line in found
    ]
    widths = [max(len(cells[i]) for cells in (head, *body)) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    rows = (
        "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"
        for cells in [head, rule, *body]
    )
    title = f"{TABLES[table].about}; equal {'multiply-accumulates' if equal == 'macs' else 'steps'}, mean ± deviation"
    return f"{title}\n\n" + "\n".join(rows) + "\n"


def as_csv(found: Sequence[Line]) -> str:
    """All numbers: two columns, mean and deviation, for every metric."""
    names = list(dict.fromkeys(n for line in found for n in line.metrics))
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    plain = ("row", "seeds", "steps", "parameters", "macs_per_pixel", "patches_per_second")
    writer.writerow([*plain, *(f"{n} {part}" for n in ("gain", *names) for part in Spread._fields)])
    for line in found:
        spreads = [line.gain, *(line.metrics.get(n) for n in names)]
        cells = [cell for spread in spreads for cell in (spread or ("", ""))]
        writer.writerow([*(getattr(line, n) for n in plain), *("" if cell is None else cell for cell in cells)])
    return sink.getvalue()


def tell_table(study: Study, table: str, seeds: Sequence[int]) -> None:
    """Print and write the finished part of a table."""
    found = lines(study, table, seeds)
    if not found:
        return
    text = as_markdown(table, found, study.equal)
    print(text, flush=True)
    atomic_bytes(study.out / f"{table}.md", text.encode(), overwrite=True)
    atomic_bytes(study.out / f"{table}.csv", as_csv(found).encode(), overwrite=True)


# --- the command --------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("ablation"))
    parser.add_argument("--table", nargs="+", choices=list(TABLES), default=["parts"])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows")
    parser.add_argument("--list", action="store_true", help="print the tables with their rows and exit")
    for name in ("--dataset", "--layers", "--val"):
        parser.add_argument(name, action="append", metavar="NAME|DIR", help="as for derain train")
    parser.add_argument("--clean", action="append", type=Path, metavar="DIR", help="as for derain train")
    parser.add_argument("--real", action="append", type=Path, default=[], metavar="DIR|FILE")
    parser.add_argument("--vgg", type=Path, metavar="FILE")
    parser.add_argument(
        "--examine",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="photos to evaluate without ground truth when a row is finished",
    )
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--from", dest="from_", metavar="NAME|FILE", help="weights to start all rows from")
    parser.add_argument("--set", dest="set_", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument("--steps", type=int, default=300, help="steps of the most expensive row of a table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--equal", choices=["macs", "steps"], default="macs")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns 0 if all is done or the time is up, 3 if rows failed, otherwise the codes of `derain`."""
    asked = _parser().parse_args(argv)
    if asked.list:
        for name, table in TABLES.items():
            print(f"{name}: {table.about}")
            for row in table.rows:
                print(f"    {row.name:18} {row.base:7} {' '.join(row.settings)}")
        return 0
    flags = RunFlags(
        output=asked.out,
        dataset=asked.dataset,
        layers=asked.layers,
        clean=asked.clean,
        val=asked.val,
        recipe=asked.recipe,
        set_=asked.set_,
        from_=asked.from_,
        vgg=asked.vgg,
        device=asked.device,
    )
    until, failed, stopped = time.monotonic() + 60 * asked.minutes, 0, ""
    try:
        photos = tuple(photo for place in asked.examine for photo in list_photos(place))
        if asked.examine and not photos:
            raise NothingToDoError("no photos found", path=asked.examine[0])
        study = Study(asked.out, flags, tuple(asked.real), asked.steps, asked.equal, photos)
        for table in asked.table:
            known = {row.name: row for row in TABLES[table].rows}
            unknown = set(asked.rows or ()) - set(known)
            if unknown:
                raise UsageError(f"no row {min(unknown)!r} in {table}", hint="--list names them")
            rows = [known[name] for name in asked.rows] if asked.rows else list(known.values())
            more, stopped = run_table(study, table, rows, asked.seeds, until)
            failed += more
            tell_table(study, table, asked.seeds)
            if stopped:
                break
    except DerainError as error:
        say(f"ablate: error: {error}")
        return error.exit_code
    if stopped:
        say(f"stopped ({stopped}); run the same command to resume")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
