"""Measures the overhead of a folder over the bare network, side by side in one run, on generated photos.

    python scripts/bench_folders.py [--pictures 1000] [--parts 10] [--format jpg] [--jobs 1] [--model NAME|FILE]

Bare is the restorer alone on decoded arrays; the folder run reads, restores, writes and flushes files like `derain
FOLDER`. The two alternate, part by part, so that other load on the machine affects both equally. Resident memory is
printed after each part. Decoding and encoding are also measured separately: if the network uses all cores, their CPU
time is the minimum overhead.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.jobs.photos.run import restore_photos
from derain_cli.media.photo import read_photo, write_photo, write_rgb


def make_photo(path: Path, seed: int, height: int, width: int) -> None:
    """A picture whose file is about as large as that of a photo of this size."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (height // 16 + 2, width // 16 + 2, 3)).repeat(16, 0).repeat(16, 1)[:height, :width]
    levels = np.clip(128 + 45 * coarse + rng.normal(0, 7, (height, width, 3)), 0, 255)
    write_rgb(path, levels.astype(np.uint8))


def resident() -> float:
    """Resident memory of this process, MB; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--height", type=int, default=321)
    parser.add_argument("--width", type=int, default=481)
    parser.add_argument("--format", default="jpg")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    restorer = Restorer.from_pretrained(asked.model, device=asked.device)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sources = [place / f"{number:05d}.{asked.format}" for number in range(asked.pictures)]
        for number, source in enumerate(sources):
            make_photo(source, number, asked.height, asked.width)
        items = [Item(str(source), str(place / "out" / source.name)) for source in sources]
        step = -(-len(items) // asked.parts)
        seconds = {"bare": 0.0, "folder": 0.0}
        processor = {"bare": 0.0, "folder": 0.0}
        ratios = []
        failed: list[PhotoOutcome] = []

        def tell(outcome: PhotoOutcome) -> None:
            if outcome.error is not None:
                failed.append(outcome)

        restorer(read_photo(sources[0]).pixels)
        for number, start in enumerate(range(0, len(items), step)):
            part = items[start : start + step]
            taken = {}
            for kind in ("bare", "folder") if number % 2 else ("folder", "bare"):
                pictures = [read_photo(item.source).pixels for item in part] if kind == "bare" else []
                begin, begin_cpu = time.perf_counter(), time.process_time()
                for picture in pictures:
                    restorer(picture)
                if kind == "folder":
                    restore_photos(part, restorer, BatchOptions(jobs=asked.jobs), report=tell)
                taken[kind] = time.perf_counter() - begin
                seconds[kind] += taken[kind]
                processor[kind] += time.process_time() - begin_cpu
            ratios.append(taken["folder"] / taken["bare"])
            print(f"part {number + 1}: bare {taken['bare']:.2f} s, folder {taken['folder']:.2f} s, "
                  f"ratio {ratios[-1]:.3f}, {resident():.0f} MB")  # fmt: skip
        photos = [read_photo(source) for source in sources[:50]]
        begin = time.process_time()
        for source, photo in zip(sources, photos, strict=False):
            read_photo(source)
            write_photo(photo, place / f"alone.{asked.format}", overwrite=True)
        alone = (time.process_time() - begin) / len(photos) * 1000
    if failed:
        raise SystemExit(f"{len(failed)} photos failed, the first with: {failed[0].error}")
    count = len(items)
    print(f"{count} .{asked.format} of {asked.width}x{asked.height}, {restorer.device}, {restorer.precision}, "
          f"{torch.get_num_threads()} threads, jobs {asked.jobs}")  # fmt: skip
    for kind in seconds:
        print(f"{kind:<8}{seconds[kind] / count * 1000:8.1f} ms per photo, "
              f"{processor[kind] / count * 1000:.1f} ms of CPU time")  # fmt: skip
    print(f"reading and writing only: {alone:.1f} ms of CPU time per photo")
    print(f"ratio {seconds['folder'] / seconds['bare']:.3f} (median of the parts {statistics.median(ratios):.3f})")


if __name__ == "__main__":
    main()
