"""The data sets of the field: what is in them, whose they are, where they come from, how their files lie on a disk.

Counts and layouts are those of the authors' pages and of the packings that circulate; a record that turns out wrong
is corrected here and nowhere else.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from derain_cli.datasets.layouts import Layout
from derain_cli.errors import UsageError

__all__ = ["DATASETS", "DatasetRecord", "HubCopy", "Licence", "Split", "find_record"]


@dataclass(frozen=True)
class Licence:
    """Terms of a data set: `green` free, `amber` for research, `red` none stated or unclear; and in words."""

    colour: Literal["green", "amber", "red"]
    words: str


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        count: of pairs, or of pictures where there is no ground truth; 0 where that is not settled.
        places: folders below the data root, in the order in which they are tried.
        parts: names of the sets that make up this split, where it has no pictures of its own.
    """

    count: int
    places: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class HubCopy:
    """A copy of a data set on the Hugging Face Hub.

    Attributes:
        repo: of type data set.
        folder: below the data root, where it goes.
        only: patterns of the files that are wanted; empty for all.
    """

    repo: str
    folder: str
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetRecord:
    """A public data set.

    Attributes:
        name: as in the tables of the field.
        about: one line.
        page: where its authors give it away.
        licence: its terms.
        splits: `train`, `test`, some `val`.
        layouts: packings found in the wild, in the order in which they are tried; they say what pairs with what.
        aliases: other names.
        truth: whether there are clean pictures.
        hub: a copy that can be fetched.
    """

    name: str
    about: str
    page: str
    licence: Licence
    splits: Mapping[str, Split]
    layouts: tuple[Layout, ...] = ()
    aliases: tuple[str, ...] = ()
    truth: bool = True
    hub: HubCopy | None = field(default=None)

    def split(self, name: str) -> Split:
        """The part called `name`.

        Raises:
            UsageError: it has no such part.
        """
        if name not in self.splits:
            raise UsageError(f"{self.name} has no split {name!r}", hint=f"it has {', '.join(self.splits)}")
        return self.splits[name]


def _split(count: int, *places: str) -> Split:
    return Split(count, places)


_INPUT_TARGET = Layout("input/{n}", "target/{n}")
_RAIN_NORAIN = Layout("rain/{n}", "norain/{n}")
_PLAIN = (
    _INPUT_TARGET,
    _RAIN_NORAIN,
    Layout("rainy/{n}", "clean/{n}"),
    Layout("input/{n}", "gt/{n}"),
    Layout("rain/{n}", "gt/{n}"),
    Layout("input/{n}", "groundtruth/{n}"),
)
_JORDER = (
    _RAIN_NORAIN,
    _INPUT_TARGET,
    Layout("rain/norain-{n}x2", "norain/norain-{n}"),
    Layout("rain/{n}x2", "norain/{n}"),
    Layout("rain/rain-{n}", "norain/norain-{n}"),
    Layout("rainy/rain-{n}", "norain-{n}"),
    Layout("rainy/norain-{n}", "norain-{n}"),
    Layout("rain-{n}", "norain-{n}"),
    Layout("rainy/{n}", "clean/{n}"),
    Layout("input/{n}", "gt/{n}"),
)
_JORDER_PAGE = "https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html"
_RESEARCH = Licence("amber", "given away for research; no licence text found")
_NONE_STATED = Licence("red", "no terms stated by its authors")
_RAIN13K_PAGE = "https://github.com/swz30/MPRNet/blob/main/Deraining/README.md"
_RAIN13K_TERMS = Licence("red", "made of other sets, each with its own terms; none stated for the whole")
_RAIN13K_HUB = "dronefreak/Rain13K"


def _test_of_rain13k(name: str, count: int, about: str, *aliases: str) -> DatasetRecord:
    return DatasetRecord(
        name=name,
        about=about,
        page=_RAIN13K_PAGE,
        licence=_RAIN13K_TERMS,
        splits={"test": _split(count, f"{name}/test", name, f"Rain13K/test/{name}", f"test/{name}")},
        layouts=_PLAIN,
        aliases=aliases,
        hub=HubCopy(_RAIN13K_HUB, "Rain13K", (f"*test/{name}/*",)),
    )


_RECORDS: tuple[DatasetRecord, ...] = (
    DatasetRecord(
        name="Rain200L",
        about="light synthetic rain in one direction; second edition of Rain100L (JORDER)",
        page=_JORDER_PAGE,
        licence=_RESEARCH,
        splits={
            "train": _split(1800, "Rain200L/train", "Rain200L/rain_data_train_Light", "rain_data_train_Light"),
            "test": _split(200, "Rain200L/test", "Rain200L/rain_data_test_Light", "rain_data_test_Light", "Rain200L"),
        },
        layouts=_JORDER,
    ),
    DatasetRecord(
        name="Rain200H",
        about="heavy synthetic rain in five directions; second edition of Rain100H (JORDER)",
        page=_JORDER_PAGE,
        licence=_RESEARCH,
        splits={
            "train": _split(1800, "Rain200H/train", "Rain200H/rain_data_train_Heavy", "rain_data_train_Heavy"),
            "test": _split(200, "Rain200H/test", "Rain200H/rain_data_test_Heavy", "rain_data_test_Heavy", "Rain200H"),
        },
        layouts=_JORDER,
    ),
    DatasetRecord(
        name="Rain100L",
        about="light synthetic rain in one direction (JORDER)",
        page=_JORDER_PAGE,
        licence=_RESEARCH,
        splits={
            "train": _split(200, "Rain100L/train", "RainTrainL", "Rain100L/rain_data_train_Light"),
            "test": _split(
                100,
                "Rain100L/test",
                "Rain100L",
                "Rain100L/rain_data_test_Light",
                "Rain13K/test/Rain100L",
                "test/Rain100L",
            ),
        },
        layouts=_JORDER,
        aliases=("Rain100-L", "RainTrainL"),
        hub=HubCopy(_RAIN13K_HUB, "Rain13K", ("*test/Rain100L/*",)),
    ),
    DatasetRecord(
        name="Rain100H",
        about="heavy synthetic rain in five directions (JORDER)",
        page=_JORDER_PAGE,
        licence=_RESEARCH,
        splits={
            "train": _split(1800, "Rain100H/train", "RainTrainH", "Rain100H/rain_data_train_Heavy"),
            "test": _split(
                100,
                "Rain100H/test",
                "Rain100H",
                "Rain100H/rain_data_test_Heavy",
                "Rain13K/test/Rain100H",
                "test/Rain100H",
            ),
        },
        layouts=_JORDER,
        aliases=("Rain100-H", "RainTrainH"),
        hub=HubCopy(_RAIN13K_HUB, "Rain13K", ("*test/Rain100H/*",)),
    ),
    DatasetRecord(
        name="Rain12",
        about="12 photos with photo-realistic synthetic rain (Li et al. 2016)",
        page="https://yu-li.github.io/",
        licence=_NONE_STATED,
        splits={"test": _split(12, "Rain12/test", "Rain12")},
        layouts=(
            Layout("input/{n}_in", "groundtruth/{n}_gt"),
            Layout("{n}_in", "{n}_gt"),
            Layout("input/{n}", "groundtruth/{n}"),
            Layout("input/{n}", "label/{n}"),
            *_JORDER,
        ),
    ),
    DatasetRecord(
        name="Rain800",
        about="photos with synthetic rain of many kinds, both pictures side by side in one file (ID-CGAN)",
        page="https://github.com/hezhangsprinter/ID-CGAN",
        licence=_RESEARCH,
        splits={
            "train": _split(700, "Rain800/train", "Rain800/training", "Rain800/rain/training", "rain/training"),
            "test": _split(
                100, "Rain800/test", "Rain800/test_syn", "Rain800/testing", "Rain800/rain/test_syn", "rain/test_syn"
            ),
        },
        layouts=(Layout("{n}", halves="clean|rainy"), *_PLAIN),
        aliases=("ID-CGAN", "IDCGAN"),
    ),
    DatasetRecord(
        name="Rain1400",
        about="14 kinds of synthetic rain on each of 1,000 photos (DDN)",
        page="https://xueyangfu.github.io/projects/cvpr2017.html",
        licence=_NONE_STATED,
        splits={
            "train": _split(
                12_600, "Rain1400/train", "Rain1400/training", "rainy_image_dataset/training", "DDN-Data/train"
            ),
            "test": _split(1_400, "Rain1400/test", "Rain1400/testing", "rainy_image_dataset/testing", "DDN-Data/test"),
        },
        layouts=(
            Layout("rainy_image/{n}_{k}", "ground_truth/{n}"),
            Layout("rainy/{n}_{k}", "clean/{n}"),
            Layout("input/{n}_{k}", "target/{n}"),
            *_PLAIN,
        ),
        aliases=("DDN", "DDN-Data", "Rain14000"),
        hub=HubCopy("dronefreak/DDN-Data", "DDN-Data"),
    ),
    DatasetRecord(
        name="Rain1200",
        about="synthetic rain of three densities, both pictures side by side in one file (DID-MDN)",
        page="https://github.com/hezhangsprinter/DID-MDN",
        licence=_RESEARCH,
        splits={
            "train": _split(
                12_000,
                "Rain1200/train",
                "Rain1200/DID-MDN-training",
                "DID-MDN-datasets/DID-MDN-training",
                "DID-MDN-training",
            ),
            "test": _split(
                1_200, "Rain1200/test", "Rain1200/DID-MDN-test", "DID-MDN-datasets/DID-MDN-test", "DID-MDN-test"
            ),
        },
        # The authors' loader feeds the left half to the network (DID-MDN, test.py); in Rain800 it is the right one.
        layouts=(
            Layout("{n}", halves="rainy|clean"),
            Layout("Rain_{density}/train2018new/{n}", halves="rainy|clean"),
            Layout("Rain_{density}/rainy/{n}", "Rain_{density}/clean/{n}"),
            *_PLAIN,
        ),
        aliases=("DID-MDN", "DID-Data", "Rain12000"),
    ),
    DatasetRecord(
        name="SPA-Data",
        about="real rain in video and clean pictures made from the clips; the Hub's copy is a hundredth of it (SPANet)",
        page="https://stevewongv.github.io/derain-project.html",
        licence=Licence("amber", "free for research by the authors' licence file, to be cited"),
        splits={
            "train": _split(638_492, "SPA-Data/train", "SPA-Data/Training", "SPA-Data"),
            "val": _split(0, "SPA-Data/val"),
            "test": _split(
                1_000, "SPA-Data/test", "SPA-Data/real_test_1000", "SPA-Data/Testing/real_test_1000", "real_test_1000"
            ),
        },
        layouts=(
            Layout("real_world/{n}", "real_world_gt/{n}"),
            Layout("rain/{n}", "gt/{n}gt"),
            Layout("rgb_reconstruction/rain/rain-{n}", "rgb_reconstruction/norain/norain-{n}"),
            Layout("rain/rain-{n}", "norain/norain-{n}"),
            _INPUT_TARGET,
            _RAIN_NORAIN,
        ),
        aliases=("SPA", "SPANet-Data"),
        hub=HubCopy("dronefreak/SPA-Data", "SPA-Data"),
    ),
    DatasetRecord(
        name="RainDS-syn",
        about="synthetic rain streaks on street scenes; its rain drops are left out (Quan et al. 2021)",
        page="https://github.com/Songforrr/RainDS_CCN",
        licence=_NONE_STATED,
        splits={
            "train": _split(1_000, "RainDS/RainDS_syn/train", "RainDS_syn/train", "RainDS-syn/train"),
            "test": _split(200, "RainDS/RainDS_syn/test", "RainDS_syn/test", "RainDS-syn/test"),
        },
        layouts=(
            Layout("rainstreak/pie-rain-{n}", "gt/pie-norain-{n}"),
            Layout("rainstreak/rain-{n}", "gt/norain-{n}"),
            Layout("rainstreak/{n}", "gt/{n}"),
        ),
    ),
    DatasetRecord(
        name="RainDS-real",
        about="rain streaks from a sprinkler before real scenes; its rain drops are left out (Quan et al. 2021)",
        page="https://github.com/Songforrr/RainDS_CCN",
        licence=_NONE_STATED,
        splits={
            "train": _split(150, "RainDS/RainDS_real/train_set", "RainDS_real/train_set", "RainDS-real/train"),
            "test": _split(98, "RainDS/RainDS_real/test_set", "RainDS_real/test_set", "RainDS-real/test"),
        },
        layouts=(Layout("rainstreak/{n}", "gt/{n}"), Layout("rainstreak/rain-{n}", "gt/norain-{n}")),
    ),
    DatasetRecord(
        name="RainDS",
        about="RainDS-syn and RainDS-real",
        page="https://github.com/Songforrr/RainDS_CCN",
        licence=_NONE_STATED,
        splits={
            "train": Split(1_150, parts=("RainDS-syn", "RainDS-real")),
            "test": Split(298, parts=("RainDS-syn", "RainDS-real")),
        },
    ),
    DatasetRecord(
        name="GT-RAIN",
        about="real rain from web cameras: 300 frames a scene and the same scene just before or after",
        page="https://visual.ee.ucla.edu/gt_rain.htm/",
        licence=Licence("red", "frames of public web cameras; see the page for terms"),
        splits={
            "train": _split(26_124, "GT-RAIN/GT-RAIN_train", "GT-RAIN_train", "GT-RAIN/train"),
            "val": _split(3_300, "GT-RAIN/GT-RAIN_val", "GT-RAIN_val", "GT-RAIN/val"),
            "test": _split(2_100, "GT-RAIN/GT-RAIN_test", "GT-RAIN_test", "GT-RAIN/test"),
        },
        layouts=(
            # One scene has a clean frame for each rainy one, the others have one for all.
            Layout("{scene}/{s}-R-{k}", "{scene}/{s}-C-{k}"),
            Layout("{scene}/{s}-R-{k}", "{scene}/{s}-C-000"),
        ),
        aliases=("GTRAIN",),
    ),
    DatasetRecord(
        name="RealRain-1k-H",
        about="frames of real heavy rain with clean pictures made from the clips (Li et al. 2022)",
        page="https://github.com/hiker-lw/RealRain-1k",
        licence=_NONE_STATED,
        splits={
            "train": _split(784, "RealRain-1k/RealRain-1k-H/train", "RealRain-1k-H/train"),
            "val": _split(112, "RealRain-1k/RealRain-1k-H/validation", "RealRain-1k-H/validation", "RealRain-1k-H/val"),
            "test": _split(224, "RealRain-1k/RealRain-1k-H/test", "RealRain-1k-H/test"),
        },
        layouts=_PLAIN,
        hub=HubCopy("dronefreak/RealRain-1k", "RealRain-1k", ("*RealRain-1k-H/*",)),
    ),
    DatasetRecord(
        name="RealRain-1k-L",
        about="frames of real light rain with clean pictures made from the clips (Li et al. 2022)",
        page="https://github.com/hiker-lw/RealRain-1k",
        licence=_NONE_STATED,
        splits={
            "train": _split(784, "RealRain-1k/RealRain-1k-L/train", "RealRain-1k-L/train"),
            "val": _split(112, "RealRain-1k/RealRain-1k-L/validation", "RealRain-1k-L/validation", "RealRain-1k-L/val"),
            "test": _split(224, "RealRain-1k/RealRain-1k-L/test", "RealRain-1k-L/test"),
        },
        layouts=_PLAIN,
        hub=HubCopy("dronefreak/RealRain-1k", "RealRain-1k", ("*RealRain-1k-L/*",)),
    ),
    DatasetRecord(
        name="RealRain-1k",
        about="RealRain-1k-H and RealRain-1k-L",
        page="https://github.com/hiker-lw/RealRain-1k",
        licence=_NONE_STATED,
        splits={
            "train": Split(1_568, parts=("RealRain-1k-H", "RealRain-1k-L")),
            "val": Split(224, parts=("RealRain-1k-H", "RealRain-1k-L")),
            "test": Split(448, parts=("RealRain-1k-H", "RealRain-1k-L")),
        },
        hub=HubCopy("dronefreak/RealRain-1k", "RealRain-1k"),
    ),
    DatasetRecord(
        name="Rain13K",
        about="training pairs of Rain1400, Rain100H, Rain800 and Rain12 together, and five test sets (MSPFN, MPRNet)",
        page=_RAIN13K_PAGE,
        licence=_RAIN13K_TERMS,
        splits={
            "train": _split(13_712, "Rain13K/train", "Rain13K/train/Rain13K"),
            "test": Split(4_298, parts=("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200")),
        },
        layouts=_PLAIN,
        hub=HubCopy(_RAIN13K_HUB, "Rain13K"),
    ),
    _test_of_rain13k("Test100", 98, "test pictures of Rain800 as Rain13K has them"),
    _test_of_rain13k("Test1200", 1_200, "test pictures of Rain1200 (DID-MDN) as Rain13K has them"),
    _test_of_rain13k("Test2800", 2_800, "pictures of Rain1400 (DDN) held back by Rain13K"),
    DatasetRecord(
        name="Real200",
        about="2,000 real photos in the rain, no ground truth (Semi-DRDNet)",
        page="https://github.com/Dengsgithub/DRD-Net",
        licence=Licence("red", "collected from other sets and the web; ask its authors"),
        splits={"train": _split(1_800, "Real200/train"), "test": _split(200, "Real200/test", "Real200")},
        layouts=(Layout("{n}"), Layout("{folder}/{n}")),
        truth=False,
    ),
    DatasetRecord(
        name="DDN-SIRR",
        about="147 real photos in the rain, no ground truth (Wei et al. 2019)",
        page="https://github.com/wwzjer/Semi-supervised-IRR",
        licence=_NONE_STATED,
        splits={
            "train": _split(147, "DDN-SIRR/train", "DDN-SIRR/rainy_image_dataset", "DDN-SIRR"),
            "test": _split(147, "DDN-SIRR/test", "DDN-SIRR/rainy_image_dataset", "DDN-SIRR"),
        },
        layouts=(Layout("real_input/{n}"), Layout("{n}"), Layout("real/{n}")),
        aliases=("SIRR",),
        truth=False,
    ),
)

DATASETS: dict[str, DatasetRecord] = {record.name: record for record in _RECORDS}
"""Sets known by name; any other folder of pairs works too."""


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


_KNOWN = {_plain(each): record for record in _RECORDS for each in (record.name, *record.aliases)}


def find_record(name: str) -> DatasetRecord:
    """The set called `name`, by its name or an alias; case, hyphens and the like do not count.

    Raises:
        UsageError: there is none; the nearest names are in the hint.
    """
    record = _KNOWN.get(_plain(name))
    if record is None:
        close = difflib.get_close_matches(_plain(name), _KNOWN, n=4, cutoff=0.6)
        near = list(dict.fromkeys(_KNOWN[key].name for key in close))
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"no data set or folder {name!r}", hint=f"{hint}known names: {', '.join(DATASETS)}; or a folder of pairs"
        )
    return record
