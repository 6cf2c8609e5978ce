"""Validation during a run: scores, pictures, and the weights that are kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.run_state import latest_checkpoint, save_checkpoint
from derain_cli.checkpoints.weight_file import Weights, save_state, save_weights
from derain_cli.config import RestoreOptions, to_mapping
from derain_cli.data.datasets import Sources
from derain_cli.datasets.fingerprint import hash_files
from derain_cli.datasets.pairs import PairGroup
from derain_cli.engine.restorer import Restorer
from derain_cli.evaluation.peers import as_peer
from derain_cli.evaluation.scores import Evaluation, PictureResult, evaluate
from derain_cli.evaluation.turns import Picture
from derain_cli.media.photo import write_rgb
from derain_cli.metrics.no_reference import Figures
from derain_cli.model import SemiDRDNet, fold
from derain_cli.model.attach import DerainedOnly
from derain_cli.system.files import atomic_bytes
from derain_cli.system.provenance import program_version, today
from derain_cli.training.drift import RealWatch, excess
from derain_cli.training.pictures import grid
from derain_cli.training.run.folder import data_name, fingerprint, read_hashes
from derain_cli.training.run.log import RunLog
from derain_cli.training.run.plan import Listener, RunPlan
from derain_cli.training.trainer import Trainer

__all__ = ["Run"]


_GRID_PICTURES = 3


class Run:
    """The moving parts of a run in progress."""

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
        self.watch = RealWatch(self.sources.real) if self.sources.real else None
        self.hashes: tuple[str, ...] | None = None
        self.best: float | None = None
        self.best_step: int | None = None
        self.scored_step = 0

    def validate(self) -> None:
        """Score the averaged weights, show and keep them; fresh ones, before the first step, are only scored.

        Raises:
            TrainingError: the change of the real photos is past its bound; the best weights so far are untouched.
        """
        trainer, plan = self.trainer, self.plan
        restorer = self._restorer()
        shown: dict[str, list[PictureResult]] = {}

        def each(result: PictureResult) -> None:
            rows = shown.setdefault(result.group, [])
            if len(rows) < _GRID_PICTURES:
                rows.append(result)

        evaluation = evaluate(restorer, self.held, each)
        mean = evaluation.mean_psnr()
        values: dict[str, Any] = {
            "mean_psnr_rgb": mean,
            "megapixels_per_second": evaluation.megapixels / evaluation.seconds,
        }
        for group, scores in evaluation.after.items():
            for protocol, value in scores.items():
                values |= {f"{group}/psnr_{protocol}": value.psnr, f"{group}/ssim_{protocol}": value.ssim}
        looked = self.watch.look(restorer) if self.watch else None
        change = looked[0] if looked else None
        if change is not None:
            values |= {f"real/{name}": value for name, value in change.as_dict().items()}
        self.log.write("validation", trainer.step, values)
        rows = [(r.rainy, r.restored, r.clean) for results in shown.values() for r in results]
        self._show("step", "validation", grid(rows))
        if looked:
            self._show("real-step", "real", looked[1])
        drifted = excess(change, plan.config.contrast) if change else None
        counts = trainer.step > 0 or self.start is not None
        better = counts and drifted is None and (self.best is None or mean > self.best)
        if trainer.step:
            self._keep("last", evaluation, change)
            self.scored_step = trainer.step
        if better:
            self.best, self.best_step = mean, trainer.step
            if trainer.step:
                self._keep("best", evaluation, change)
            elif self.start is not None:
                # With its own card, which says what made it: this run has not.
                atomic_bytes(plan.out / "best.safetensors", self.start.path.read_bytes(), overwrite=True)
        self.listener.validated(trainer.step, evaluation, better)
        if change is not None:
            self.listener.looked(trainer.step, change)
        if drifted:
            raise drifted

    def _restorer(self) -> Callable[[Picture], Picture]:
        average, device = self.trainer.average, self.trainer.device
        if isinstance(average, SemiDRDNet):
            return Restorer(fold(average), RestoreOptions(device=str(device)))
        # A copy: evaluation mode is not for a network in training.
        return as_peer(DerainedOnly(copy.deepcopy(average)), device)

    def keep_unscored(self) -> None:
        """Keep the averaged weights of a run that ends between validations, as `last` without scores."""
        if self.trainer.step > self.scored_step:
            self._keep("last", None, None)

    def _keep(self, name: str, evaluation: Evaluation | None, change: Figures | None) -> None:
        path, average = self.plan.out / f"{name}.safetensors", self.trainer.average
        if isinstance(average, SemiDRDNet):
            save_weights(path, average, self._card(evaluation, change))
        else:
            save_state(path, average)

    def _show(self, stem: str, tag: str, picture: NDArray[np.uint8]) -> None:
        self.log.picture(tag, self.trainer.step, picture)
        folder = self.plan.out / "pictures"
        folder.mkdir(exist_ok=True)
        write_rgb(folder / f"{stem}-{self.trainer.step:09d}.png", picture)

    def _card(self, evaluation: Evaluation | None, change: Figures | None) -> Card:
        plan, config = self.plan, self.plan.config
        roles = (
            ("pairs", plan.datasets),
            ("true rain layers", plan.layers),
            ("photos with generated rain", plan.photos),
            ("real photos without ground truth", plan.real),
        )
        folders = [f"{role}: {data_name(place)}" for role, places in roles for place in places]
        # What the weights it starts from were made of, and on what terms, is behind these too.
        before = self.start.card if self.start else Card()
        # Not its path: weights are passed on, and folders are nobody's business.
        start = f"{before.name} of {before.date} (SHA-256 {self.start.sha256[:16]})" if self.start else None
        return Card(
            name=plan.name,
            summary=plan.summary,
            trained_on=tuple(dict.fromkeys((*before.trained_on, *folders, *plan.licences))),
            recipe=to_mapping(config) | {"start": start},
            steps=self.trainer.step + before.steps,
            patches=self.trainer.step * config.data.batch + before.patches,
            commit=program_version(),
            scores=evaluation.as_dict() if evaluation else {},
            licence=before.licence,
            date=today(),
            limits=before.limits,
            # Nobody who stops a run before its first validation wants to wait for the hashes of a large data set.
            hashes=self._hashes() if evaluation or self.hashes is not None else before.hashes,
            change=change.as_dict() if change else {},
        )

    def _hashes(self) -> tuple[str, ...]:
        """Perceptual hashes of all clean pictures behind the weights, those of the weights it started from too.

        They take some minutes for a large data set, so they are kept in the run's folder.
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
        save_checkpoint(self.plan.out / "checkpoints", self.trainer.step, tensors, state | best)

    def restore(self) -> None:
        found = latest_checkpoint(self.plan.out / "checkpoints")
        if found is None:
            self.listener.note("no checkpoint yet: the run starts from its beginning")
            return
        tensors, state, damaged = found
        for error in damaged:
            self.listener.note(f"passed over a damaged checkpoint: {error}")
        self.trainer.load_state(tensors, state)
        # Checkpoints of earlier versions do not say at which step it was.
        self.best, self.best_step = state["best"], state.get("best_step")
        self.scored_step = state.get("scored_step", 0)
