"""Hints of error messages: the flag that solves the problem."""

from __future__ import annotations

from collections.abc import Mapping

from derain_cli.errors import DerainError
from derain_cli.remedies import Remedy

__all__ = ["FLAGS", "hint_of", "line_of", "reason_of"]

FLAGS: Mapping[Remedy, str] = {
    # where outputs go
    Remedy.REPLACE: "--overwrite replaces it",
    Remedy.REPLACE_OR_ANOTHER: "--overwrite replaces it; another -o or --suffix keeps both",
    Remedy.OTHER_OUTPUT: "choose another -o",
    Remedy.OUTPUT_FOLDER: "-o FOLDER",
    Remedy.KEEP_NAMES: "-o FOLDER keeps the names",
    Remedy.OTHER_FOLDER_OR_SUFFIX: "run them separately with different -o folders or --suffix",
    Remedy.OTHER_OUTPUT_OR_SUFFIX: "choose another -o or --suffix",
    Remedy.RENAME_OR_OTHER_FOLDER: "rename one, or run them separately with different -o folders",
    Remedy.OTHER_OUTPUT_OR_REPLACE: "choose another -o, or recreate everything with --overwrite",
    # which inputs there are
    Remedy.SUB_FOLDERS: "-r searches subfolders",
    Remedy.FOLLOW_LINKS: "--follow-symlinks follows symbolic links",
    Remedy.OTHER_PATTERNS: "--include and --exclude left none",
    Remedy.ONLY_OUTPUTS: "there are only earlier outputs",
    Remedy.PHOTOS_TOO: "--photos adds photos",
    Remedy.MORE_PIXELS: "--max-pixels raises the limit",
    Remedy.MAKE_VIDEO: "use `derain video`, or split it into single pictures",
    Remedy.SPLIT_PAGES: "save its pages as single files first",
    Remedy.CLIP_COMMAND: "use `derain video`",
    Remedy.PHOTO_COMMAND: "use `derain` without video",
    # device
    Remedy.OTHER_DEVICE: "--device auto or cpu",
    Remedy.USE_CPU: "--device cpu",
    Remedy.USE_CPU_OR_SMALLER: "--device cpu, or smaller pictures",
    Remedy.SMALLER_TILES: "try a smaller --tile",
    Remedy.OTHER_PRECISION: "--precision auto or fp32",
    Remedy.OTHER_ENGINE: "--engine auto or torch",
    Remedy.INSTALL_FULL: "pip install 'derain-cli[full]'",
    Remedy.INSTALL_VIDEO: "pip install 'derain-cli[video]'",
    Remedy.NO_TILES: "omit --tile",
    # clusters
    Remedy.JOIN_CLUSTER: "start it with `ray start`, here as on the other machines; --ray alone needs no cluster",
    Remedy.CLUSTER_DEVICE: "--device auto, cpu or cuda",
    # web page
    Remedy.OTHER_PORT: "--port N uses another one, --port 0 a free one",
    # weights
    Remedy.LIST_MODELS: "`derain models` lists the installed ones",
    Remedy.VERIFY_MODELS: "the weights may be damaged; check with `derain models verify`",
    Remedy.OTHER_FEATURES: "--vgg FILE uses other weights; --contrast none needs none",
    Remedy.FETCH_FEATURES: "pass the weights with --vgg FILE (safetensors with torchvision's names), let torchvision "
    "download them once with --yes if there is a network, or train with --contrast none",
    # clips
    Remedy.END_EARLIER: "--end {seconds} uses the part before",
    Remedy.MATROSKA: "--format mkv supports all codecs",
    Remedy.OTHER_FORMAT: "choose another --format",
    Remedy.OTHER_CODEC: "choose another --codec",
    Remedy.ONE_OF_CODECS: "--codec {codecs}",
    Remedy.START_AGAIN: "--overwrite starts over",
    Remedy.LEAVE_CLIP_OUT: "--exclude NAME leaves a clip out",
    # sets of pairs and frames
    Remedy.MORE_VARIANTS: "--variants makes several pairs of each photo",
    Remedy.LOWER_DEMANDS: "lower --min-rain, --every or --similar",
    # data sets
    Remedy.GET_DATA_SET: "get it from {page}; {layout}; --data-root or DERAIN_DATA sets the folder of all data sets",
    Remedy.FETCH_DATA_SET: "get it from {page}, or with `derain eval --download`; {layout}; DERAIN_DATA, or its "
    "--data-root, sets the folder of all data sets",
    Remedy.NOT_ON_HUB: "get it from {page}; --download supports {names}",
    Remedy.OTHER_DATA_ROOT: "choose another --data-root",
    Remedy.MORE_SPACE_FOR_DATA: "free some space or choose another --data-root",
    # evaluation
    Remedy.NOT_STRICT: "omit --strict to evaluate anyway",
    Remedy.PAD: "--pad-multiple N",
    Remedy.PAD_MAYBE: "the network may need sides that are multiples of 8 or so: --pad-multiple N",
    # training
    Remedy.RESUME: "--resume continues it",
    Remedy.START_RUN: "omit --resume to start one",
    Remedy.FORCE: "--force resumes anyway",
    Remedy.LOWER_RATE: "lower --set optim.lr; the last checkpoint is valid",
    Remedy.NAME_PAIRS: "pass pairs with --val",
    Remedy.NAME_DATA: "--dataset, --layers or --clean",
    Remedy.NAME_REAL: "--real",
    Remedy.SMALLER_PATCH: "--set data.patch",
    Remedy.NO_WORKERS: "--set data.workers=0 shows why",
}
"""Hint for each remedy; braces are filled with the facts of the error."""


def hint_of(error: DerainError) -> str | None:
    """The hint of an error, if there is one."""
    return error.hint if error.remedy is None else FLAGS[error.remedy].format_map(error.facts)


def reason_of(error: DerainError) -> str:
    """What is wrong; an option name is replaced by its flag."""
    option = error.facts.get("option")
    if not isinstance(option, str):
        return error.reason
    return f"--{option.replace('_', '-')}{error.reason.removeprefix(option)}"


def line_of(error: DerainError) -> str:
    """`PATH: REASON (HINT)`, one printable line."""
    return error.line(reason_of(error), hint_of(error))
