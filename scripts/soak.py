"""Restores many photos in one run and many frames of one clip, and watches memory and open files.

    python -m scripts.soak [--photos 10000] [--frames 10000] [--side 32]

Prints resident memory and open file descriptors at each tenth, and the growth over the second half per 1,000 items.
More than 1 MB per 1,000, or a number of open files that rises, ends the script with 1.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from derain_cli.config import VideoOptions
from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.jobs.photos.run import restore_photos
from scripts.trial import open_files, photos, resident_mb, table, tiny_weights


@dataclass
class Watch:
    """Samples of this process over a number of items.

    Attributes:
        total: items of the run.
        samples: (items done, MB resident, open files).
    """

    total: int
    samples: list[tuple[int, float, int]] = field(default_factory=list)

    def look(self, done: int) -> None:
        if not self.samples or done - self.samples[-1][0] >= max(1, self.total // 40):
            self.samples.append((done, resident_mb(), open_files()))

    def growth(self) -> float:
        """MB per 1,000 items, by least squares over the second half."""
        late = [(n, mb) for n, mb, _ in self.samples if n >= self.total / 2]
        return float(np.polyfit(*np.array(late).T, 1)[0] * 1000)

    def files(self) -> tuple[int, int]:
        """The most open files in the first and in the second half."""
        early = [n for done, _, n in self.samples if done < self.total / 2]
        return max(early), max(n for done, _, n in self.samples if done >= self.total / 2)

    def row(self, kind: str) -> tuple[str, ...]:
        tenths = [self.samples[len(self.samples) * k // 10] for k in (1, 5)] + [self.samples[-1]]
        megabytes = ", ".join(f"{mb:.0f}" for _, mb, _ in tenths)
        early, late = self.files()
        return (kind, str(self.total), megabytes, f"{self.growth():+.2f}", f"{early}, {late}")


def soak_photos(folder: Path, restorer: Restorer, count: int, side: int) -> Watch:
    watch, done = Watch(count), 0

    def told(outcome: object) -> None:
        nonlocal done
        assert getattr(outcome, "error", None) is None, outcome
        done += 1
        watch.look(done)

    items = [Item(str(p), str(folder / "out" / p.name)) for p in photos(folder / "in", count, side)]
    restore_photos(items, restorer, BatchOptions(jobs=1), report=told)
    assert done == count
    return watch


def soak_frames(folder: Path, restorer: Restorer, count: int, side: int) -> Watch:
    watch = Watch(count)
    source = folder / "clip.mp4"
    frame = np.random.default_rng(0).integers(0, 256, (side * 2, side * 2, 3), dtype=np.uint8)
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width = stream.height = side * 2
        for number in range(count):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(frame, number, axis=1), format="rgb24")))
        out.mux(stream.encode(None))

    def told(outcome: object) -> None:
        assert getattr(outcome, "error", None) is None, outcome

    options = VideoOptions(preset="ultrafast", temporal="off")
    clean = Item(str(source), str(folder / "clean.mp4"))
    restore_clips([clean], FrameRestorer.of(restorer), options, report=told,
                  progress=lambda _, pace: watch.look(pace.done))  # fmt: skip
    assert watch.samples[-1][0] >= count * 0.9
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=32)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        restorer = Restorer.from_pretrained(str(tiny_weights(folder)), device="cpu")
        watches = {}
        if asked.frames:
            watches["frames"] = soak_frames(folder, restorer, asked.frames, asked.side)
        if asked.photos:
            watches["photos"] = soak_photos(folder, restorer, asked.photos, asked.side)
    heads = (
        "kind",
        "number",
        "MB at 1/10, half, end",
        "MB per 1,000 in the second half",
        "open files, first and second half",
    )
    print(table(heads, [watch.row(kind) for kind, watch in watches.items()]))
    if any(watch.growth() > 1 or watch.files()[1] > watch.files()[0] for watch in watches.values()):
        raise SystemExit("memory or open files grow")


if __name__ == "__main__":
    main()
