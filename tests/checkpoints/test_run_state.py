"""Checkpoints of a run: the two newest are kept, incomplete ones do not count."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pytest
import torch

from derain_cli.checkpoints import run_state
from derain_cli.checkpoints.run_state import latest_checkpoint, load_checkpoint, save_checkpoint
from derain_cli.errors import DestinationError, ResourceError, WeightsError


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"a": torch.full((3, 2), value), "n": torch.tensor(5), "empty": torch.zeros(0)}


def steps(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_checkpoint_comes_back(tmp_path):
    folder = tmp_path / "deep" / "checkpoints"
    place = save_checkpoint(folder, 12, tensors(1 / 3), {"step": 12, "best": None, "loss": 0.1 + 0.2})
    assert place == folder / "step-000000012"
    for loaded, state in (load_checkpoint(place), latest_checkpoint(folder)[:2]):
        assert state == {"step": 12, "best": None, "loss": 0.1 + 0.2}
        assert all(torch.equal(loaded[key], value) for key, value in tensors(1 / 3).items())


def test_tensors_that_share_memory_or_are_strided_are_saved(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    place = save_checkpoint(tmp_path, 1, {"one": base, "same": base, "part": base[1], "turned": base.t()}, {})
    loaded, _ = load_checkpoint(place)
    assert torch.equal(loaded["same"], base)
    assert torch.equal(loaded["part"], base[1])
    assert torch.equal(loaded["turned"], base.t())


def test_the_two_newest_are_kept(tmp_path):
    for step in (5, 10, 100, 20):
        save_checkpoint(tmp_path, step, tensors(step), {"step": step})
    assert steps(tmp_path) == ["step-000000020", "step-000000100"]
    save_checkpoint(tmp_path, 200, tensors(1), {}, keep=1)
    assert steps(tmp_path) == ["step-000000200"]


def test_nothing_but_checkpoints_is_dropped(tmp_path):
    (tmp_path / "step-notes").mkdir()
    (tmp_path / "step-1").mkdir()
    for step in range(4):
        save_checkpoint(tmp_path, step, tensors(step), {})
    assert {"step-notes", "step-1"} <= set(steps(tmp_path))


@pytest.mark.fault(61)
def test_manifest_is_written_last(tmp_path, monkeypatch):
    order = []
    real = run_state.atomic_bytes

    def spy(path, *args, **kwargs):
        if path.name == "manifest.json":
            sums = json.loads(args[0])["sha256"]
            assert {n: hashlib.sha256((path.parent / n).read_bytes()).hexdigest() for n in sums} == sums
        order.append(path.name)
        real(path, *args, **kwargs)

    monkeypatch.setattr(run_state, "atomic_bytes", spy)
    save_checkpoint(tmp_path, 1, tensors(1), {})
    assert order == ["state.safetensors", "state.json", "manifest.json"]


@pytest.mark.fault(61)
def test_a_folder_without_manifest_does_not_count(tmp_path):
    save_checkpoint(tmp_path, 1, tensors(1), {"step": 1})
    place = save_checkpoint(tmp_path, 2, tensors(2), {"step": 2})
    (place / "manifest.json").unlink()
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == {"step": 1}
    assert found[2] == []
    with pytest.raises(WeightsError):
        load_checkpoint(place)


@pytest.mark.parametrize("file", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("kind", [OSError(errno.ENOSPC, "full"), ResourceError("no space left on the disk")])
@pytest.mark.fault(40)
def test_full_disk_while_saving_leaves_the_one_before(tmp_path, monkeypatch, file, kind):
    save_checkpoint(tmp_path, 1, tensors(1), {"step": 1})
    real = run_state.atomic_bytes

    def failing(path, *args, **kwargs):
        if path.name == file:
            raise kind
        real(path, *args, **kwargs)

    monkeypatch.setattr(run_state, "atomic_bytes", failing)
    with pytest.raises(ResourceError) as caught:
        save_checkpoint(tmp_path, 2, tensors(2), {"step": 2})
    assert caught.value.exit_code == 6
    assert steps(tmp_path) == ["step-000000001"]
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == {"step": 1}


def test_other_trouble_while_saving_is_not_called_a_full_disk(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise DestinationError("cannot write here", path=tmp_path)

    monkeypatch.setattr(run_state, "atomic_bytes", refuse)
    with pytest.raises(DestinationError):
        save_checkpoint(tmp_path, 2, tensors(2), {})


@pytest.mark.parametrize("file", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "nonsense"])
def test_a_damaged_newest_is_passed_over_and_told(tmp_path, file, damage):
    save_checkpoint(tmp_path, 1, tensors(1), {"step": 1})
    place = save_checkpoint(tmp_path, 2, tensors(2), {"step": 2})
    path = place / file
    blob = bytearray(path.read_bytes())
    if damage == "flip":
        blob[len(blob) // 2] ^= 1
    path.write_bytes({"flip": blob, "cut": blob[: len(blob) // 2], "empty": b"", "nonsense": b"[]"}.get(damage, blob))
    if damage == "gone":
        path.unlink()
    found = latest_checkpoint(tmp_path)
    assert found is not None
    loaded, state, passed_over = found
    assert state == {"step": 1}
    assert torch.equal(loaded["a"], tensors(1)["a"])
    if (file, damage) != ("manifest.json", "gone"):  # it was never complete
        assert len(passed_over) == 1
        assert "step-000000002" in str(passed_over[0])
        assert str(passed_over[0]).isprintable()


def test_all_damaged_is_an_error_and_none_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "missing") is None
    place = save_checkpoint(tmp_path, 2, tensors(2), {})
    (place / "state.json").write_text("x")
    with pytest.raises(WeightsError) as caught:
        latest_checkpoint(tmp_path)
    assert caught.value.exit_code == 5


def test_saving_the_same_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, 2, tensors(1), {"step": 2, "n": 1})
    save_checkpoint(tmp_path, 2, tensors(2), {"step": 2, "n": 2})
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found[1]["n"] == 2
    assert torch.equal(found[0]["a"], tensors(2)["a"])
