"""Create small stand-ins for the public data sets, with generated pictures, to try `derain eval` and `derain train`.

    python scripts/make_standins.py OUT [--datasets Rain200L Rain800 ...] [--pairs 6] [--size 240x320] [--every-layout]

OUT can then be used as a data root: `derain eval --dataset Rain800 --data-root OUT`. The scores are meaningless.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from derain_cli.datasets.catalogue import DATASETS, find_record
from tests.standins import make_standin


def main() -> None:
    """Write the stand-ins and print where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--datasets", nargs="*", default=list(DATASETS), metavar="NAME")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--size", default="240x320", help="height x width")
    parser.add_argument("--every-layout", action="store_true", help="one data root per layout: OUT/0, OUT/1, ...")
    given = parser.parse_args()
    height, width = (int(side) for side in given.size.split("x"))
    for record in map(find_record, given.datasets):
        for number in range(len(record.layouts) if given.every_layout else min(1, len(record.layouts))):
            root = given.out / str(number) if given.every_layout else given.out
            for split, part in record.splits.items():
                if not part.parts:
                    make_standin(record, root, split, layout=number, count=given.pairs, size=(height, width))
                    print(f"{root / part.places[0]}: {record.layouts[number]}")


if __name__ == "__main__":
    main()
