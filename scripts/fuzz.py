"""Feeds damaged files to everything that reads files: only named errors, in bounded time and memory.

    python -m scripts.fuzz [TARGET ...] [--cases 2000] [--seed 0]

Targets: pictures, weights, recipes, manifests, checkpoints, clips. Every seed file is cut at each 1/32, then changed at
random: flipped bits, bytes set to extremes, blocks removed, doubled or inserted. Each target runs in a process of its
own whose address space is limited, so that a crash or an allocation without bound is seen. An error without a name, a
crash, or a case longer than the limit ends the script with 1, and the case is kept.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import random
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from derain_cli.checkpoints.run_state import latest_checkpoint, save_checkpoint
from derain_cli.checkpoints.weight_file import load_weights
from derain_cli.config import TrainConfig, from_mapping, load_recipe
from derain_cli.config.recipes import RECIPES
from derain_cli.errors import DerainError
from derain_cli.jobs.items import Item
from derain_cli.jobs.made import RECORD_NAME, MadeRecord
from derain_cli.jobs.synth.manifest import MANIFEST, read_manifest
from derain_cli.jobs.synth.options import SynthOptions
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.photo import probe_photo, read_photo
from scripts.trial import ended, forked, resident_mb, table, tiny_weights

_EXTREMES = (b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80", b"[" * 2000, b"9" * 5000)


@dataclass(frozen=True)
class Target:
    """Something that reads a file: sound files to damage, and how one is read."""

    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]
    name: str = "case"


def damaged(seeds: list[bytes], cases: int, chance: random.Random) -> Iterator[bytes]:
    """`cases` damaged forms: first those cut at each 1/32 (all seeds), then random ones."""
    cuts = [seed[: len(seed) * part // 32] for seed in seeds for part in range(32)]
    yield from cuts[:cases]
    for _ in range(cases - len(cuts)):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 8))):
            reach = len(data) if chance.random() < 0.6 else min(len(data), 300)
            at, kind = chance.randrange(max(1, reach)), chance.randrange(5)
            length = chance.randrange(1, 64)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                value = chance.choice(_EXTREMES)
                data[at : at + len(value)] = value
            elif kind == 2:
                del data[at : at + length]
            elif kind == 3:
                data[at:at] = data[at : at + length]
            else:
                data[at:at] = chance.choice((chance.randbytes(length), *_EXTREMES))
        yield bytes(data)


def _pictures(_: Path) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    pixels = pixels.repeat(2, 0).repeat(2, 1)
    seeds = []
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM"):
        stream = io.BytesIO()
        block = Image.Exif()
        block[0x0112] = 6
        more = {"exif": block.tobytes(), "dpi": (72, 72)} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}
        Image.fromarray(pixels).save(stream, kind, **more)
        seeds.append(stream.getvalue())
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(stream, "PNG")
    return [*seeds, stream.getvalue()]


def _read_picture(path: Path) -> None:
    probe_photo(path)
    read_photo(path)


def _clips(folder: Path) -> list[bytes]:
    seeds = []
    for suffix, codec in ((".mp4", "libx264"), (".mkv", "libx264"), (".webm", "libvpx-vp9"), (".avi", "mpeg4"),
                          (".ts", "libx264")):  # fmt: skip
        path = folder / f"seed{suffix}"
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for number in range(6):
                pixels = np.full((32, 48, 3), number * 30, np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            out.mux(stream.encode(None))
        seeds.append(path.read_bytes())
    return seeds


def _read_clip(path: Path) -> None:
    with open_clip(path) as reader:
        for _ in zip(range(50), reader, strict=False):
            pass


def _manifests(_: Path) -> list[bytes]:
    manifest = {"layout": {"format": "png", "numbered": False}, "rain": {"seed": 1}, "sources": {"a.png": "b.png"}}
    line = {"output": "b.png", "bytes": 3, "input_bytes": 2, "input_time": 1, "input_digest": "0", "settings": {"a": 1}}
    return [json.dumps(manifest, indent=1).encode(), json.dumps(line).encode() + b"\n"]


def _read_manifests(path: Path) -> None:
    """The same bytes as the manifest of pairs and as the record of outputs."""
    folder = path.parent
    (folder / RECORD_NAME).write_bytes(path.read_bytes())
    (folder / "b.png").write_bytes(b"out")
    MadeRecord({"a": 2}).problem(Item(str(path), str(folder / "b.png")))
    read_manifest(folder, SynthOptions())


def _checkpoint(folder: Path) -> list[bytes]:
    place = save_checkpoint(folder / "seed", 1, {"a": torch.ones(9)}, {"step": 1})
    return [p.read_bytes() for p in sorted(place.iterdir())]


def _read_checkpoint(path: Path) -> None:
    """The same bytes in place of each of the files of a checkpoint, one after the other."""
    sound = save_checkpoint(path.parent / "run", 1, {"a": torch.ones(9)}, {"step": 1})
    for file in sorted(sound.iterdir()):
        before = file.read_bytes()
        file.write_bytes(path.read_bytes())
        try:
            latest_checkpoint(sound.parent)
        finally:
            file.write_bytes(before)


TARGETS = {
    "pictures": Target(_pictures, _read_picture),
    "weights": Target(lambda folder: [tiny_weights(folder).read_bytes()], load_weights),
    "recipes": Target(
        lambda _: [p.read_bytes() for p in sorted(RECIPES.glob("*.toml"))],
        lambda path: from_mapping(TrainConfig, load_recipe(str(path))),
    ),
    "manifests": Target(_manifests, _read_manifests, MANIFEST),
    "checkpoints": Target(_checkpoint, _read_checkpoint),
    "clips": Target(_clips, _read_clip),
}


@dataclass(frozen=True)
class Found:
    """What became of the cases of a target."""

    read: int
    refused: int
    unnamed: tuple[str, ...]
    longest: float
    memory: float

    @property
    def row(self) -> tuple[str, ...]:
        each = (self.read + self.refused + len(self.unnamed), self.read, self.refused, len(self.unnamed))
        return (*map(str, each), f"{self.longest:.2f}", f"{self.memory:.0f}")


def fuzz(name: str, cases: int, seed: int, folder: Path) -> Found:
    """Read `cases` damaged files in this process; every error that is not a `DerainError` is listed with its case."""
    target, counts, unnamed = TARGETS[name], collections.Counter[str](), []
    longest, before = 0.0, resident_mb()
    path = folder / target.name
    for number, data in enumerate(damaged(target.seeds(folder), cases, random.Random(seed))):
        path.write_bytes(data)
        begin = time.process_time()
        try:
            target.read(path)
            counts["read"] += 1
        except DerainError:
            counts["refused"] += 1
        except Exception as error:
            unnamed.append(f"{type(error).__name__}: {error}"[:200])
            (folder / f"unnamed{number}").write_bytes(data)
        longest = max(longest, time.process_time() - begin)
    return Found(counts["read"], counts["refused"], tuple(unnamed), longest, resident_mb() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="CPU time that one file may take")
    parser.add_argument("--memory", type=int, default=2000, help="MB that a target may map beyond what is loaded")
    asked = parser.parse_args()
    av.logging.set_level(av.logging.PANIC)
    warnings.simplefilter("ignore")
    bad, rows = False, []
    for name in asked.targets or TARGETS:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))

        def work(name: str = name, folder: Path = folder) -> None:
            mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
            limit = mapped + asked.memory * 1_000_000
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            found = fuzz(name, asked.cases, asked.seed, folder)
            (folder / "found.json").write_text(json.dumps([found.row, found.unnamed, found.longest]))

        code = ended(forked(work))  # type: ignore[arg-type]
        if code != 0:
            print(f"{name}: the process ended with {code}; the case is in {folder}")
            bad = True
            continue
        row, unnamed, longest = json.loads((folder / "found.json").read_text())
        rows.append((name, *row))
        for text, count in collections.Counter(unnamed).most_common(10):
            print(f"{name}: {count} x {text} (cases in {folder})")
        bad |= bool(unnamed) or longest > asked.seconds
    heads = (
        "target",
        "files",
        "read",
        "refused",
        "errors without a name",
        "longest, s of CPU",
        "memory that stayed, MB",
    )
    print(table(heads, rows))
    if bad:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
