"""Weight files: round trips, and refusal of damaged files."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import random
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch

from derain_cli.checkpoints import weight_file
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.run_state import load_checkpoint
from derain_cli.checkpoints.weight_file import load_weights, network, save_weights
from derain_cli.config import ModelConfig, TrainConfig, to_mapping
from derain_cli.errors import DerainError, DestinationError, ResourceError, WeightsError
from derain_cli.model import build

TINY = ModelConfig(width=4, blocks=1)
CARD = Card(
    name="tiny – ☂",
    summary="for tests",
    trained_on=("generated", "photos: été"),
    recipe=to_mapping(TrainConfig()),
    steps=7,
    patches=56,
    commit="abc",
    scores={"set": {"rgb": {"input": [26.1, 0.1 + 0.2], "output": [1e-05, 1 / 3]}}},
    licence="CC0",
    date="2025-01-01",
    limits="none",
)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return build(TINY).eval()


@pytest.fixture(scope="module")
def good(tiny, tmp_path_factory) -> Path:
    """A valid weight file, read-only."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, tiny, CARD)
    return path


def written(tmp_path: Path, blob: bytes) -> Path:
    path = tmp_path / "w.safetensors"
    path.write_bytes(blob)
    return path


def refused(path: Path, words: str = "") -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert caught.value.exit_code == 5
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert words in str(caught.value)
    return caught.value


def test_what_goes_in_comes_out(good, tiny):
    weights = load_weights(good)
    assert weights.config == TINY
    assert weights.card == CARD
    assert weights.path == good
    state = tiny.state_dict()
    assert set(weights.tensors) == set(state)
    for key, value in state.items():
        assert torch.equal(weights.tensors[key], value)
        assert weights.tensors[key].dtype == value.dtype
    rainy = torch.rand(1, 3, 9, 11)
    again = network(weights)
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(rainy).derained, tiny(rainy).derained)


@pytest.mark.parametrize("detail", ["none", "direct", "residual", "msarr", "sdcab"])
def test_every_form_can_be_saved_and_loaded(tmp_path, detail):
    config = ModelConfig(width=4, blocks=2, detail=detail, unshuffle=2)
    model = build(config).to(memory_format=torch.channels_last)
    path = tmp_path / "w.safetensors"
    save_weights(path, model, Card())
    again = network(load_weights(path)).state_dict()
    assert all(torch.equal(again[key], value) for key, value in model.state_dict().items())


def test_the_sum_is_in_the_file_and_the_same_each_time(good, tiny, tmp_path):
    again = tmp_path / "again.safetensors"
    assert save_weights(again, tiny, CARD) == load_weights(good).sha256
    assert again.read_bytes() == good.read_bytes()
    assert len(load_weights(good).sha256) == 64


def test_other_programs_can_read_the_tensors(good, tiny):
    tensors = safetensors.torch.load_file(good)
    assert all(torch.equal(tensors[key], value) for key, value in tiny.state_dict().items())


def test_mode_is_that_of_the_umask(tiny, tmp_path):
    path = tmp_path / "w.safetensors"
    before = os.umask(0o027)
    try:
        save_weights(path, tiny, Card())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_existing_file_is_kept_without_overwrite(tiny, tmp_path):
    path = written(tmp_path, b"precious")
    with pytest.raises(DestinationError):
        save_weights(path, tiny, Card(), overwrite=False)
    assert path.read_bytes() == b"precious"
    save_weights(path, tiny, Card())
    assert load_weights(path).config == TINY


def flips(blob: bytes, count: int) -> list[tuple[int, int]]:
    """Positions all over the file; half of them in the header, which is smaller."""
    rng = random.Random(0)
    header = 8 + struct.unpack("<Q", blob[:8])[0]
    places = [(i, b) for i in range(8) for b in range(8)]
    places += [(rng.randrange(8, header), rng.randrange(8)) for _ in range(count // 2)]
    places += [(rng.randrange(header, len(blob)), rng.randrange(8)) for _ in range(count // 2)]
    return [*places, (header - 1, 0), (header, 0), (len(blob) - 1, 7)]


@pytest.mark.fault(56)
def test_one_flipped_bit_anywhere_is_noticed(good, tmp_path):
    blob = good.read_bytes()
    path = tmp_path / "w.safetensors"
    for position, bit in flips(blob, 200):
        damaged = bytearray(blob)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        refused(path)


@pytest.mark.slow
def test_every_flipped_bit_of_the_header_is_noticed(good, tmp_path):
    blob = good.read_bytes()
    path = tmp_path / "w.safetensors"
    header = 8 + struct.unpack("<Q", blob[:8])[0]
    for position in range(header):
        for bit in range(8):
            damaged = bytearray(blob)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            refused(path)


@pytest.mark.parametrize("part", range(33))
@pytest.mark.fault(53)
def test_cut_anywhere(good, tmp_path, part):
    blob = good.read_bytes()
    end = min(len(blob) - 1, len(blob) * part // 32)
    refused(written(tmp_path, blob[:end]))


def test_longer_than_it_says(good, tmp_path):
    refused(written(tmp_path, good.read_bytes() + b"\0"))


class Evil:
    """Unpickling this creates a file."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


@pytest.mark.fault(54)
def test_a_pickle_is_refused_and_not_executed(tmp_path):
    canary = tmp_path / "canary"
    for number, blob in enumerate([pickle.dumps(Evil(canary)), pickle.dumps({"state_dict": Evil(canary)})]):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(blob)
        refused(path)
    torch.save({"state_dict": Evil(canary)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt")
    assert not canary.exists()
    pickle.loads(pickle.dumps(Evil(canary)))  # make sure the bait works
    assert canary.exists()


def nonsense() -> dict[str, bytes]:
    rng = random.Random(1)
    table = lambda text: struct.pack("<Q", len(text)) + text  # noqa: E731
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return {
        "empty": b"",
        "seven bytes": b"1234567",
        "zeros": bytes(4096),
        "random": rng.randbytes(5000),
        "png": b"\x89PNG\r\n\x1a\n" + rng.randbytes(500),
        "text": b"hello, these are the weights\n" * 9,
        "header of 8 x 0xFF": b"\xff" * 8 + bytes(100),
        "header of 2^62": struct.pack("<Q", 1 << 62) + bytes(100),
        "header is a list": table(b"[1, 2]"),
        "header is a number": table(b"7"),
        "no metadata": table(b"{}"),
        "metadata is a list": table(b'{"__metadata__": [1]}'),
        "metadata is a number inside": table(b'{"__metadata__": {"derain": 7}}'),
        "our metadata is a list": table(b'{"__metadata__": {"derain": "[1]"}}'),
        "our metadata is no JSON": table(b'{"__metadata__": {"derain": "{"}}'),
        "no sum": table(b'{"__metadata__": {"derain": "{}"}}'),
        "deep": table(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "many tensors": table(json.dumps({f"t{i}": entry for i in range(20_001)}).encode()),
        "unknown dtype": table(b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}') + bytes(4),
        "tensor is a number": table(b'{"a": 5}'),
        "bad utf-8": table(b'{"\xff": 5}'),
    }


@pytest.mark.parametrize("name", nonsense())
@pytest.mark.fault(53, 55)
def test_nonsense(tmp_path, name):
    refused(written(tmp_path, nonsense()[name]), "not a usable weights file")


@pytest.mark.fault(53)
def test_a_folder_and_a_missing_file_and_a_fifo(tmp_path):
    refused(tmp_path, "not a regular file")
    refused(tmp_path / "missing.safetensors", "No such file")
    os.mkfifo(tmp_path / "fifo.safetensors")
    refused(tmp_path / "fifo.safetensors", "not a regular file")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop")
    refused(tmp_path / ("n" * 300))


def forged(tensors, meta) -> bytes:
    """A file with a correct checksum, whatever its content."""
    _, table, data = weight_file._parse(safetensors.torch.save(tensors, metadata={"derain": ""}))
    sha = weight_file._digest(meta, table, data)
    return safetensors.torch.save(tensors, metadata={"derain": json.dumps({**meta, "sha256": sha})})


def proper_meta(config=TINY):
    return {"format": 1, "config": to_mapping(config), "card": {"name": "x"}}


def test_a_forged_file_is_read_when_it_fits(tiny, tmp_path):
    """The helper of the tests below creates files that are valid except for the change each test makes."""
    assert load_weights(written(tmp_path, forged(tiny.state_dict(), proper_meta()))).card == Card(name="x")


@pytest.mark.parametrize("what", ["missing", "extra", "other width", "other depth", "other detail"])
@pytest.mark.fault(57)
def test_tensors_of_another_network_name_the_key(tiny, tmp_path, what):
    tensors, config = dict(tiny.state_dict()), TINY
    if what == "missing":
        del tensors["rrn.body.weight"]
        key = "rrn.body.weight is missing (1 in total)"
    elif what == "extra":
        tensors["rrn.zz.weight"] = torch.zeros(1)
        key = "rrn.zz.weight is unknown (1 in total)"
    elif what == "other width":
        config, key = ModelConfig(width=5, blocks=1), "is [4"
    elif what == "other depth":
        config, key = ModelConfig(width=4, blocks=2), "drn.blocks.1.act.weight is missing"
    else:
        config, key = ModelConfig(width=4, blocks=1, detail="none"), "drn.act.weight is unknown"
    error = refused(written(tmp_path, forged(tensors, proper_meta(config))), "another network")
    assert key in str(error)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["drn.blocks.0.norm1.running_var", "rrn.head.weight"])
@pytest.mark.fault(58)
def test_non_finite_values_inside(tiny, tmp_path, key, value):
    tensors = {k: v.clone() for k, v in tiny.state_dict().items()}
    tensors[key].flatten()[-1] = value
    assert key in str(refused(written(tmp_path, forged(tensors, proper_meta())), "non-finite"))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"config": {"width": 4, "blocks": 1, "nosuch": 1}},
        {"config": {"width": "4"}},
        {"config": {"width": -4}},
        {"config": 5},
        {"config": [1]},
        {"config": None},
        {"card": 5},
        {"card": [1]},
        {"card": None},
        {"card": {"trained_on": 5}},
    ],
    ids=str,
)
def test_other_formats_and_settings_that_make_no_sense(tiny, tmp_path, change):
    refused(written(tmp_path, forged(tiny.state_dict(), proper_meta() | change)))


@pytest.mark.parametrize("key", ["format", "config", "card"])
def test_parts_of_the_metadata_left_out(tiny, tmp_path, key):
    meta = proper_meta()
    del meta[key]
    refused(written(tmp_path, forged(tiny.state_dict(), meta)))


@pytest.mark.fault(55)
def test_tables_that_lie_are_refused(tiny, tmp_path):
    """Overlapping offsets, or a shape that does not fit, with a correct checksum."""
    plain = safetensors.torch.save(dict(tiny.state_dict()), metadata={"derain": ""})
    _, table, data = weight_file._parse(plain)
    for change in ({"data_offsets": [0, 16]}, {"shape": [1 << 40]}, {"dtype": "F16"}, {"shape": [-1]}):
        lied = {k: dict(v) for k, v in table.items()}
        lied["rrn.body.bias"] |= change
        sha = weight_file._digest(proper_meta(), lied, data)
        meta = {"derain": json.dumps({**proper_meta(), "sha256": sha})}
        header = json.dumps({"__metadata__": meta, **lied}).encode()
        refused(written(tmp_path, struct.pack("<Q", len(header)) + header + bytes(data)), "not a usable weights file")


def test_cards_of_later_versions_are_read(tiny, tmp_path):
    meta = proper_meta() | {"card": {"name": "later", "colour": "blue"}}
    assert load_weights(written(tmp_path, forged(tiny.state_dict(), meta))).card.name == "later"


def test_hashes_of_training_pictures_travel_on_the_card(tiny, tmp_path):
    hashes = tuple(f"{number:016x}" for number in (0, 7, 2**64 - 1))
    save_weights(tmp_path / "w.safetensors", tiny, dataclasses.replace(CARD, hashes=hashes))
    assert load_weights(tmp_path / "w.safetensors").card.hashes == hashes


def test_files_from_before_hashes_were_kept_are_read(tiny, tmp_path):
    card = {k: v for k, v in proper_meta()["card"].items() if k != "hashes"}
    path = written(tmp_path, forged(tiny.state_dict(), proper_meta() | {"card": card}))
    assert load_weights(path).card.hashes == ()


@pytest.mark.parametrize(
    "part",
    [{"name": 7}, {"licence": None}, {"steps": "7"}, {"scores": []}, {"trained_on": "abc"}, {"trained_on": [{}]}],
    ids=str,
)
def test_cards_with_values_of_another_kind_are_refused(tiny, tmp_path, part):
    """Files come from the Hub: no command may stumble over what is in them."""
    meta = proper_meta() | {"card": {"name": "x"} | part}
    refused(written(tmp_path, forged(tiny.state_dict(), meta)), "not a usable weights file")


@pytest.mark.parametrize("hashes", [["xyz"], ["0123"], [7], ["0" * 17], "abc", 5])
def test_hashes_that_are_none_are_refused(tiny, tmp_path, hashes):
    meta = proper_meta() | {"card": {"name": "x", "hashes": hashes}}
    refused(written(tmp_path, forged(tiny.state_dict(), meta)), "not a usable weights file")


def test_full_disk_while_writing_weights(tiny, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, tiny, CARD)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(ResourceError):
        save_weights(path, tiny, Card())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_every_error_of_the_module_has_an_exit_code(tmp_path):
    """Loading arbitrary bytes always raises one of our errors."""
    rng = random.Random(3)
    place = tmp_path / "step-000000001"
    place.mkdir()
    for _ in range(30):
        for name in ("state.safetensors", "state.json", "manifest.json"):
            (place / name).write_bytes(rng.choice([b"{}", b"null", b"[]", b'{"sha256": 1}', rng.randbytes(50)]))
        with pytest.raises(DerainError):
            load_checkpoint(place)
