"""How the command line words the way out of a failure: with the flag that takes it."""

from __future__ import annotations

from collections.abc import Mapping

from derain_cli.errors import DerainError
from derain_cli.remedies import Remedy

__all__ = ["FLAGS", "hint_of", "line_of", "reason_of"]

FLAGS: Mapping[Remedy, str] = {
    # where outputs go
    Remedy.REPLACE: "--overwrite replaces it",
    Remedy.REPLACE_OR_ANOTHER: "--overwrite replaces it, another -o or --suffix keeps both",
    Remedy.OTHER_OUTPUT: "choose another -o",
    Remedy.OUTPUT_FOLDER: "-o FOLDER",
    Remedy.KEEP_NAMES: "-o FOLDER keeps names as they are",
    Remedy.OTHER_FOLDER_OR_SUFFIX: "run them with different -o folders or another --suffix",
    Remedy.OTHER_OUTPUT_OR_SUFFIX: "choose another -o or another --suffix",
    Remedy.RENAME_OR_OTHER_FOLDER: "rename one, or run them with different -o folders",
    Remedy.OTHER_OUTPUT_OR_REPLACE: "choose another -o, or make all again with --overwrite",
    # which inputs there are
    Remedy.SUB_FOLDERS: "-r looks into sub-folders",
    Remedy.FOLLOW_LINKS: "--follow-symlinks follows the links found",
    Remedy.OTHER_PATTERNS: "--include and --exclude left all out",
    Remedy.ONLY_OUTPUTS: "only earlier outputs are there",
    Remedy.PHOTOS_TOO: "photos are added with --photos",
    Remedy.MORE_PIXELS: "--max-pixels raises the limit",
    Remedy.MAKE_VIDEO: "`derain video` takes it, or split it into single pictures",
    Remedy.SPLIT_PAGES: "save its pages as single files first",
    Remedy.CLIP_COMMAND: "`derain video` takes it",
    Remedy.PHOTO_COMMAND: "`derain` without video takes it",
    # what computes
    Remedy.OTHER_DEVICE: "--device auto or cpu",
    Remedy.USE_CPU: "--device cpu",
    Remedy.USE_CPU_OR_SMALLER: "--device cpu, or smaller pictures",
    Remedy.SMALLER_TILES: "try a smaller --tile",
    Remedy.NO_TILES: "leave out --tile",
    # weights
    Remedy.LIST_MODELS: "`derain models` lists the installed ones",
    Remedy.VERIFY_MODELS: "the weights may be damaged: derain models verify",
    Remedy.OTHER_FEATURES: "--vgg FILE takes other weights, --contrast none does without",
    Remedy.FETCH_FEATURES: "give the weights as --vgg FILE (safetensors with torchvision's names), let torchvision "
    "download them once with --yes where there is a network, or train with --contrast none",
    # clips
    Remedy.END_EARLIER: "--end {seconds} takes what comes before",
    Remedy.MATROSKA: "--format mkv holds all",
    Remedy.OTHER_FORMAT: "choose another --format",
    Remedy.OTHER_CODEC: "choose another --codec",
    Remedy.ONE_OF_CODECS: "--codec {codecs}",
    Remedy.START_AGAIN: "--overwrite starts again",
    # sets of pairs and frames
    Remedy.MORE_VARIANTS: "--variants makes more than one of each photo",
    Remedy.LOWER_DEMANDS: "lower --min-rain, --every or --similar",
    # data sets
    Remedy.GET_DATA_SET: "get it from {page}; {layout}; --data-root or DERAIN_DATA names the folder of all sets",
    Remedy.FETCH_DATA_SET: "get it from {page}, or by `derain eval --download`; {layout}; DERAIN_DATA, or its "
    "--data-root, names the folder of all sets",
    Remedy.NOT_ON_HUB: "get it from {page}; --download knows {names}",
    Remedy.OTHER_DATA_ROOT: "choose another --data-root",
    Remedy.MORE_SPACE_FOR_DATA: "free some space or choose another --data-root",
    # measuring
    Remedy.NOT_STRICT: "leave --strict out to measure all the same",
    Remedy.PAD: "--pad-multiple N",
    Remedy.PAD_MAYBE: "sides may have to be multiples of 8 or so: --pad-multiple N",
    # training
    Remedy.RESUME: "--resume goes on with it",
    Remedy.START_RUN: "leave --resume out to start one",
    Remedy.FORCE: "--force goes on anyway",
    Remedy.LOWER_RATE: "lower --set optim.lr; the last checkpoint is good",
    Remedy.NAME_PAIRS: "give pairs with --val",
    Remedy.NAME_DATA: "--dataset, --layers or --clean",
    Remedy.NAME_REAL: "--real",
    Remedy.SMALLER_PATCH: "--set data.patch",
    Remedy.NO_WORKERS: "--set data.workers=0 shows why",
}
"""What to say for each way out, with the error's facts in braces."""


def hint_of(error: DerainError) -> str | None:
    """The way out of an error, if it knows one."""
    return error.hint if error.remedy is None else FLAGS[error.remedy].format_map(error.facts)


def reason_of(error: DerainError) -> str:
    """What is wrong; an option goes by its flag."""
    option = error.facts.get("option")
    if not isinstance(option, str):
        return error.reason
    return f"--{option.replace('_', '-')}{error.reason.removeprefix(option)}"


def line_of(error: DerainError) -> str:
    """`PATH: REASON (HINT)`, one printable line."""
    return error.line(reason_of(error), hint_of(error))
