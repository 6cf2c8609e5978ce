"""The light installation: photos without OpenCV and PyAV, clips without PyTorch, with the same results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.config import ModelConfig
from derain_cli.media.photo import Photo, read_photo, read_rgb, write_photo
from tests.cli.conftest import Derain, photo
from tests.conftest import make_network
from tests.sample_clips import times_of, write_clip

pytest.importorskip("onnxruntime")

_BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.split(".")[0])
sys.meta_path.insert(0, Missing())
from derain_cli.cli import main
sys.exit(main())
"""


_FULL = ("torch", "torchvision")
_VIDEO = ("av", "cv2")


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that change pictures."""
    path = tmp_path_factory.mktemp("weights") / "changing.safetensors"
    config = ModelConfig(width=8, blocks=2, unshuffle=2, detail_blocks=1, detail_width=12, detail_unshuffle=4)
    save_weights(path, make_network(config), Card(name="changing"))
    return path


def light(*argv: object, missing: tuple[str, ...] = _FULL) -> Ended:
    """The program in a process that has no PyTorch, or lacks other packages."""
    environment = os.environ | {"NO_COLOR": "1"}
    command = [sys.executable, "-c", _BLOCKED.format(missing=missing), *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def apart(one: Path, other: Path) -> int:
    return int(np.abs(read_rgb(one).astype(int) - read_rgb(other)).max())


def test_photos_are_the_same_to_one_level(derain: Derain, weights: Path) -> None:
    for number, side in enumerate((40, 150)):
        photo(f"in/{number}.png", seed=number, height=side, width=side + 33)
    tiles = ("--tile", "128", "--strength", "0.6", "--precision", "fp32")
    ended = light("in", "-o", "out", "-m", weights, "--json", *tiles, missing=_FULL + _VIDEO)
    assert ended.code == 0, ended.err
    assert "fp32, onnx" in ended.err
    assert derain("in", "-o", "torch", "-m", weights, *tiles, "--engine", "torch").code == 0
    for number in range(2):
        assert apart(Path(f"out/{number}.png"), Path(f"torch/{number}.png")) <= 1
        assert apart(Path(f"out/{number}.png"), Path(f"in/{number}.png")) > 1


def test_clips_are_restored(weights: Path) -> None:
    write_clip(Path("a.mp4"), frames=3)
    assert light("video", "a.mp4", "-m", weights, "-q").code == 0
    assert len(times_of("a_derained.mp4")) == 3


def test_models_are_listed_and_verified(weights: Path) -> None:
    assert light("models", "verify", weights).code == 0
    assert "parameters" in light("models", "show", weights).out
    told = light("info").out
    assert "not installed" in told and "ONNX Runtime" in told


def test_deep_and_transparent_photos_need_no_opencv(weights: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 60, 3), np.uint16)
    alpha = np.full((40, 60), 65535, np.uint16)
    alpha[:9] = 0
    Path("in").mkdir()
    files = ("a.png", "b.tif")
    for file in files:
        write_photo(Photo(pixels, alpha), Path("in", file))
    ended = light("in", "-o", "out", "-m", weights, "--compare", "--save-layers", missing=_FULL + _VIDEO)
    assert ended.code == 0 and "reduced to 8-bit" not in ended.err, ended.err
    for file in files:
        restored = read_photo(Path("out", file))
        assert restored.pixels.dtype == np.uint16 and np.array_equal(restored.alpha, alpha)


@pytest.mark.parametrize(
    "argv", [("video", "a.mp4", "-m", "WEIGHTS"), ("frames", "a.mp4", "-o", "out"), ("synth", "in", "-o", "pairs")]
)
@pytest.mark.parametrize("missing", _VIDEO)
def test_what_needs_the_libraries_for_clips_says_so_in_one_line(
    argv: tuple[str, ...], missing: str, weights: Path
) -> None:
    if missing == "av" and argv[0] == "synth":
        pytest.skip("works without PyAV")
    Path("a.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    photo("in/0.png", height=64, width=64)
    ended = light(*(str(weights) if word == "WEIGHTS" else word for word in argv), missing=(missing,))
    assert ended.code == 2, ended.err
    (line,) = [line for line in ended.err.splitlines() if "error" in line]
    assert "not installed" in line and "pip install 'derain-cli[video]'" in line
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("train", "--clean", "in", "-o", "run", "--set", "optim.steps=1"), 2),
        (("models", "export", "WEIGHTS", "--to", "torchscript"), 2),
        (("in/0.png", "-o", "x.png", "-m", "WEIGHTS", "--engine", "torch"), 2),
    ],
)
def test_what_needs_torch_says_so_in_one_line(argv: tuple[str, ...], code: int, weights: Path) -> None:
    for number in range(3):
        photo(f"in/{number}.png", seed=number, height=160, width=160)
    ended = light(*(str(weights) if word == "WEIGHTS" else word for word in argv))
    assert ended.code == code, ended.err
    (line,) = [line for line in ended.err.splitlines() if "error" in line]
    assert "PyTorch, which is not installed" in line and "pip install 'derain-cli[full]'" in line
    assert "Traceback" not in ended.err
