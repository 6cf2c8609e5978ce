"""A tiny weight file, test photos, and the program run in this process."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from derain_cli.checkpoints import find
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.cli import main
from derain_cli.config import ModelConfig
from derain_cli.jobs.made import RECORD_NAME
from derain_cli.media.photo import write_rgb
from derain_cli.model import SemiDRDNet, build


def heed_signals() -> None:
    """Background jobs ignore SIGINT, jobs under nohup SIGHUP; the tests may run as such a job."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True)
class Ended:
    """Result of a call of the program: exit code and output."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("derain: error: ")]


Derain = Callable[..., Ended]


def unchanging(unshuffle: int = 2) -> SemiDRDNet:
    """A network that finds no rain and repairs no detail: output equals input."""
    model = build(ModelConfig(width=8, blocks=1, unshuffle=unshuffle)).eval()
    with torch.no_grad():
        for part in (model.rrn, model.drn):
            assert part is not None
            last = [m for m in part.modules() if isinstance(m, torch.nn.Conv2d)][-1]
            last.weight.zero_()
            if last.bias is not None:
                last.bias.zero_()
    return model


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file whose network leaves pictures unchanged; read-only."""
    path = tmp_path_factory.mktemp("weights") / "same.safetensors"
    save_weights(path, unchanging(), Card(name="same", trained_on=("nothing",), scores={"none": {"y": 1.5}}))
    return path


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path) -> None:
    """An empty current folder, and none of the user's settings except the weights of these tests."""
    for name in ("DERAIN_DEBUG", "DERAIN_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DERAIN_MODEL", str(weights))
    monkeypatch.setenv("DERAIN_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for child processes; two threads block each other on a busy machine
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def derain(capsys: pytest.CaptureFixture[str]) -> Derain:
    """`derain(*argv)` runs the program in this process."""

    def call(*argv: str | Path) -> Ended:
        capsys.readouterr()
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return call


def noise(height: int = 24, width: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photo(path: str | Path, seed: int = 0, height: int = 24, width: int = 32) -> Path:
    """Write a photo of noise; creates its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rgb(path, noise(height, width, seed))
    return path


def snapshot(folder: str | Path = ".") -> dict[str, bytes]:
    """Content of every file below a folder by path, except the record of how outputs were made."""
    files = [p for p in sorted(Path(folder).rglob("*")) if p.is_file() and p.name != RECORD_NAME]
    return {str(p): p.read_bytes() for p in files}


def listed(folder: str | Path = ".") -> list[str]:
    """Names in a folder, except the record."""
    return sorted(p.name for p in Path(folder).iterdir() if p.name != RECORD_NAME)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of installed weights: `one` and `two`."""
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.setattr(find, "_weight_folders", lambda: [folder])
    scores = {"SetA": {"y": {"input": [25.5, 0.8], "output": [38.25, 0.97]}, "pictures": 3}}
    card = Card(name="one", summary="first", trained_on=("SetA", "SetB"), scores=scores)
    save_weights(folder / "one.safetensors", unchanging(), card)
    recipe = {"optim": {"steps": 20, "milestones": [1 / 3, 0.5]}, "data": {f"key{n}": n for n in range(60)}}
    two = Card(name="two", limits="night", licence="for research only", recipe=recipe, hashes=("0" * 16,) * 70)
    save_weights(folder / "two.safetensors", unchanging(1), two)
    return folder
