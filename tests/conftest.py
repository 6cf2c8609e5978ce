"""Shared fixtures: one CPU thread, small pictures, small networks with non-trivial weights, small folders of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from derain_cli.config import ModelConfig
from derain_cli.media.photo import write_rgb
from derain_cli.model import SemiDRDNet, build
from derain_cli.rain import add_rain
from tests.fake_hub import FakeHub, serving

# Shared machines can be slow at times; pytest's own time limit is sufficient.
hypothesis.settings.register_profile("derain", deadline=None)
hypothesis.settings.load_profile("derain")

Picture = NDArray[np.uint8]
MakePicture = Callable[..., Picture]
MakeNetwork = Callable[..., SemiDRDNet]
MakePairs = Callable[..., Path]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests for a GPU if there is none."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are slower with many threads, and the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_picture(height: int, width: int, seed: int = 0) -> Picture:
    """A smooth picture with edges and grain, uint8 HxWx3."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / rng.uniform(4, 25) + columns / rng.uniform(4, 25) + rng.uniform(0, 6)) for _ in range(3)]
    levels = 128 + 55 * np.stack(waves, axis=-1) + rng.normal(0, 6, (height, width, 3))
    levels[height // 3 : height // 2, width // 4 : width // 2] += 40
    return np.clip(levels, 0, 255).astype(np.uint8)


def make_network(config: ModelConfig | None = None, seed: int = 0) -> SemiDRDNet:
    """A network in evaluation mode whose batch norms, slopes and gates differ clearly from their initial values."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(config or ModelConfig(width=8, blocks=1))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
            elif isinstance(module, nn.PReLU):
                nn.init.uniform_(module.weight, 0.05, 0.5)
        for net in (model.rrn, model.drn):
            if net is not None:
                net.tail.reset_parameters()  # an untrained one hardly changes the picture
    return model.eval()


def make_pairs(
    folder: Path, count: int = 6, height: int = 48, width: int = 56, names: tuple[str, str] = ("rain", "norain")
) -> Path:
    """`count` pairs of generated pictures with generated rain, PNG, in two subfolders of `folder`."""
    for number in range(count):
        clean = make_picture(height, width, seed=number)
        sample = add_rain(clean.astype(np.float32) / np.float32(255), "light", np.random.default_rng(number))
        rainy = np.rint(sample.rainy * 255).astype(np.uint8)
        for name, pixels in zip(names, (rainy, clean), strict=True):
            place = folder / name / f"{number:03d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_rgb(place, pixels)
    return folder


@pytest.fixture(scope="session")
def picture() -> MakePicture:
    """The function `make_picture`."""
    return make_picture


@pytest.fixture(scope="session")
def network() -> MakeNetwork:
    """The function `make_network`."""
    return make_network


@pytest.fixture(scope="session")
def pairs() -> MakePairs:
    """The function `make_pairs`."""
    return make_pairs


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs of 56x48 pixels; read-only."""
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def vgg_weights() -> dict[str, Tensor]:
    """Random weights with the shapes of VGG-16's convolutions, under torchvision's names; read-only."""
    from torchvision.models import vgg16

    with torch.device("meta"):
        shapes = {k: v.shape for k, v in vgg16(weights=None).features.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    return {
        f"features.{k}": torch.randn(s, generator=generator) * (2 / max(1, s[1:].numel())) ** 0.5
        for k, s in shapes.items()
    }


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory: pytest.TempPathFactory, vgg_weights: dict[str, Tensor]) -> Path:
    """The same as a file, in half precision; read-only."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    safetensors.torch.save_file({k: v.half() for k, v in vgg_weights.items()}, path)
    return path


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes an empty folder the current one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub on this machine, an empty cache, and no token."""
    home = tmp_path / "hf"
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        for name, place in {"HF_HOME": home, "HF_HUB_CACHE": home / "hub", "HF_TOKEN_PATH": home / "token"}.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(place))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True, raising=False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield server
