"""Validation during a run: scores, pictures, and saving of weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from derain_cli.checkpoints.average import average_weights
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.run_state import latest_checkpoint, save_checkpoint
from derain_cli.checkpoints.weight_file import Weights, load_weights, save_state, save_weights
from derain_cli.config import RestoreOptions, to_mapping
from derain_cli.data.datasets import Sources
from derain_cli.datasets.fingerprint import hash_files
from derain_cli.datasets.pairs import PairGroup, read_clean
from derain_cli.engine.restorer import Restorer
from derain_cli.evaluation.peers import as_peer
from derain_cli.evaluation.scores import Evaluation, PictureResult, evaluate
from derain_cli.evaluation.turns import Picture
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.model import SemiDRDNet
from derain_cli.model.attach import DerainedOnly
from derain_cli.model.fold import fold
from derain_cli.system.files import atomic_bytes
from derain_cli.system.provenance import program_version, today
from derain_cli.training.curve import draw_curve
from derain_cli.training.drift import Look, RealWatch, drift_error
from derain_cli.training.pictures import grid
from derain_cli.training.run.folder import data_name, fingerprint, read_hashes
from derain_cli.training.run.log import RunLog
from derain_cli.training.run.plan import Listener, RunPlan
from derain_cli.training.selection import SHARES, Gain, Selection
from derain_cli.training.trainer import Trainer

__all__ = ["Run"]


_GRID_PICTURES = 3


@dataclass(frozen=True, eq=False)
class _Scored:
    """Results of some weights on the validation pairs and, in runs with real photos, on those."""

    evaluation: Evaluation
    grid: NDArray[np.uint8]
    gain: Gain | None
    look: Look | None

    def values(self) -> dict[str, Any]:
        """For the log."""
        evaluation = self.evaluation
        values: dict[str, Any] = {
            "mean_psnr_rgb": evaluation.mean_psnr(),
            "megapixels_per_second": evaluation.megapixels / evaluation.seconds,
        }
        for group, scores in evaluation.after.items():
            for protocol, value in scores.items():
                values |= {f"{group}/psnr_{protocol}": value.psnr, f"{group}/ssim_{protocol}": value.ssim}
        return values | {f"real/{name}": value for name, value in self.change().items()}

    def change(self) -> dict[str, float]:
        """Change of real photos, and of clean ones, which have no rain to remove; for the log and the card."""
        found = self.look.mean.as_dict() if self.look else {}
        return found | ({"clean_streak_energy_removed": self.gain.harm} if self.gain else {})


class Run:
    """State of a run in progress."""

    def __init__(
        self,
        plan: RunPlan,
        trainer: Trainer,
        data: tuple[Sources, tuple[PairGroup, ...]],
        log: RunLog,
        listener: Listener,
        start: Weights | None = None,
    ):
        self.plan, self.trainer, self.log, self.listener, self.start = plan, trainer, log, listener, start
        self.sources, self.held = data
        self.selection = self._selection()
        self.hashes: tuple[str, ...] | None = None
        self.best: float | None = None
        self.best_step: int | None = None
        self.best_share = 1.0
        self.scored_step = 0

    def _selection(self) -> Selection | None:
        """The selection of the best weights in runs with real photos; None without real photos.

        It decides only in runs that start from trained weights: fresh weights are far from any budget, so other runs
        use the mean validation PSNR alone.
        """
        if not self.sources.real_held:
            return None
        pairs = [pair for group in self.held for pair in group.pairs]
        clean = RealWatch(pairs, lambda pair: read_clean(pair, read_rgb))
        return Selection(RealWatch(self.sources.real_held, read_rgb), clean, self.plan.config.contrast.psnr_budget)

    def validate(self) -> None:
        """Score the averaged weights, write pictures and save them; before the first step they are only scored.

        Raises:
            TrainingError: the change of the real photos exceeds its limit; the best weights so far are untouched.
        """
        trainer, plan = self.trainer, self.plan
        scored = self._score(self._restorer(trainer.average))
        self.log.write("validation", trainer.step, scored.values())
        self._show("step", "validation", scored.grid)
        write_rgb(plan.out / "curve.png", draw_curve(self.log.records()))
        if scored.look:
            self._show("real-step", "real", scored.look.grid)
        drifted = drift_error(scored.look.mean, plan.config.contrast) if scored.look else None
        if trainer.step:
            self._keep("last", scored)
            self.scored_step = trainer.step
        counts = trainer.step > 0 or self.start is not None
        # Always called: the budget is relative to the first weights.
        better = drifted is None and self._is_best(scored) and counts
        if better:
            self.best, self.best_step, self.best_share = scored.evaluation.mean_psnr(), trainer.step, 1.0
            if trainer.step:
                self._keep("best", scored)
            elif self.start is not None:
                # With its own card, since this run did not produce it.
                atomic_bytes(plan.out / "best.safetensors", self.start.path.read_bytes(), overwrite=True)
        self.listener.validated(trainer.step, scored.evaluation, better)
        if scored.look is not None:
            self.listener.real_photos_checked(trainer.step, scored.look.mean)
        if drifted:
            raise drifted

    def try_averages(self) -> None:
        """Try averages of the newest weights with the starting weights, and keep the best of all.

        Fine-tuning on real photos costs accuracy on pairs; averages with the start keep most of both
        (`derain_cli.model.average`). Only for runs with real photos that start from trained weights.
        """
        if self.selection is None or self.start is None or not self.scored_step:
            return
        newest = load_weights(self.plan.out / "last.safetensors")
        if newest.config != self.start.config:
            return
        for share in SHARES:
            made, card = average_weights([self.start, newest], [1 - share, share])
            scored = self._score(self._restorer(made))
            better = self._is_best(scored)
            self.log.write("average", self.trainer.step, {"share": share, **scored.values()})
            if better:
                self.best, self.best_step, self.best_share = scored.evaluation.mean_psnr(), self.trainer.step, share
                card = replace(card, name=self.plan.name, scores=scored.evaluation.as_dict(), change=scored.change())
                save_weights(self.plan.out / "best.safetensors", made, card)
            assert scored.gain is not None
            self.listener.averaged(share, scored.gain, better)

    def _score(self, restorer: Callable[[Picture], Picture]) -> _Scored:
        shown: dict[str, list[PictureResult]] = {}

        def each(result: PictureResult) -> None:
            rows = shown.setdefault(result.group, [])
            if len(rows) < _GRID_PICTURES:
                rows.append(result)

        evaluation = evaluate(restorer, self.held, each, frames=self.plan.config.model.frames)
        rows = [(r.rainy, r.restored, r.clean) for results in shown.values() for r in results]
        found = self.selection.measure(restorer, evaluation.mean_psnr()) if self.selection else None
        gain, look = found or (None, None)
        return _Scored(evaluation, grid(rows), gain, look)

    def _is_best(self, scored: _Scored) -> bool:
        if self.selection is not None and scored.gain is not None and self.start is not None:
            return self.selection.is_best(scored.gain)
        return self.best is None or scored.evaluation.mean_psnr() > self.best

    def _restorer(self, model: nn.Module) -> Callable[[Picture], Picture]:
        device = self.trainer.device
        if isinstance(model, SemiDRDNet):
            return Restorer(fold(model.to(device)), RestoreOptions(device=str(device)))
        # Copied, since a network in training must not be put into evaluation mode.
        return as_peer(DerainedOnly(copy.deepcopy(model)), device)

    def keep_unscored(self) -> None:
        """Save the averaged weights of a run that ends between validations, as `last` without scores."""
        if self.trainer.step > self.scored_step:
            self._keep("last", None)

    def _keep(self, name: str, scored: _Scored | None) -> None:
        path, average = self.plan.out / f"{name}.safetensors", self.trainer.average
        if isinstance(average, SemiDRDNet):
            save_weights(path, average, self._card(scored))
        else:
            save_state(path, average)

    def _show(self, stem: str, tag: str, picture: NDArray[np.uint8]) -> None:
        self.log.picture(tag, self.trainer.step, picture)
        folder = self.plan.out / "pictures"
        folder.mkdir(exist_ok=True)
        write_rgb(folder / f"{stem}-{self.trainer.step:09d}.png", picture)

    def _card(self, scored: _Scored | None) -> Card:
        plan, config = self.plan, self.plan.config
        clips = config.model.frames > 1
        roles = (
            ("pairs", plan.datasets),
            ("true rain layers", plan.layers),
            ("clips made from photos, with generated rain" if clips else "photos with generated rain", plan.photos),
            ("real photos without ground truth", plan.real),
        )
        folders = [f"{role}: {data_name(place)}" for role, places in roles for place in places]
        # The data and terms of the starting weights apply to these too.
        before = self.start.card if self.start else Card()
        # Without its path: cards are published and must not leak local folders.
        start = f"{before.name} of {before.date} (SHA-256 {self.start.sha256[:16]})" if self.start else None
        return Card(
            name=plan.name,
            summary=plan.summary,
            trained_on=tuple(dict.fromkeys((*before.trained_on, *folders, *plan.licences))),
            recipe=to_mapping(config) | {"start": start},
            steps=self.trainer.step + before.steps,
            patches=self.trainer.step * config.data.batch + before.patches,
            commit=program_version(),
            scores=scored.evaluation.as_dict() if scored else {},
            licence=before.licence,
            date=today(),
            limits=before.limits,
            # A run stopped before its first validation should not have to wait for the hashes of a large data set.
            hashes=self._hashes() if scored or self.hashes is not None else before.hashes,
            change=scored.change() if scored else {},
        )

    def _hashes(self) -> tuple[str, ...]:
        """Perceptual hashes of all clean training pictures, including those of the starting weights.

        They take minutes for a large data set, so they are cached in the run's folder.
        """
        if self.hashes is None:
            path, data = self.plan.out / "hashes.json", fingerprint(self.sources)
            kept = read_hashes(path, data)
            if kept is None:
                groups = (*self.sources.pairs, *self.sources.layers)
                kept = hash_files(
                    [*(pair for group in groups for pair in group.pairs), *self.sources.photos, *self.sources.real]
                )
                atomic_bytes(path, json.dumps({"data": data, "hashes": kept}).encode(), overwrite=True)
            self.hashes = tuple(sorted({*kept, *(self.start.card.hashes if self.start else ())}))
        return self.hashes

    def checkpoint(self) -> None:
        tensors, state = self.trainer.state()
        best = {"best": self.best, "best_step": self.best_step, "scored_step": self.scored_step}
        chosen = self.selection.state() if self.selection else {}
        save_checkpoint(self.plan.out / "checkpoints", self.trainer.step, tensors, state | best | {"selection": chosen})

    def restore(self) -> None:
        found = latest_checkpoint(self.plan.out / "checkpoints")
        if found is None:
            self.listener.note("no checkpoint yet: the run starts from the beginning")
            return
        tensors, state, damaged = found
        for error in damaged:
            self.listener.note(f"skipped a damaged checkpoint: {error}")
        self.trainer.load_state(tensors, state)
        # Checkpoints of earlier versions lack the step.
        self.best, self.best_step = state["best"], state.get("best_step")
        self.scored_step = state.get("scored_step", 0)
        if self.selection is not None:
            self.selection.load_state(state.get("selection", {}))
