"""Remedies for failures, by name. An error says which one applies; each front end says how.

The command line names its flags (`derain_cli.cli.hints`), the web page names what its users can do
(`derain_cli.serve.hints`); Python callers see the sentences below.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Remedy"]


class Remedy(StrEnum):
    """A remedy; its value is the sentence for Python callers, with placeholders for the error's facts."""

    # outputs
    REPLACE = "allow overwriting"
    REPLACE_OR_ANOTHER = "allow overwriting, or choose another output"
    OTHER_OUTPUT = "choose another output"
    OUTPUT_FOLDER = "specify an output folder"
    KEEP_NAMES = "outputs in a separate folder keep the names of the inputs"
    OTHER_FOLDER_OR_SUFFIX = "use different output folders, or another suffix"
    OTHER_OUTPUT_OR_SUFFIX = "choose another output or another suffix"
    RENAME_OR_OTHER_FOLDER = "rename one, or use different output folders"
    OTHER_OUTPUT_OR_REPLACE = "choose another output, or overwrite all of it"

    # inputs
    SUB_FOLDERS = "subfolders were not searched"
    FOLLOW_LINKS = "symbolic links were not followed"
    OTHER_PATTERNS = "the include and exclude patterns left nothing"
    ONLY_OUTPUTS = "there are only earlier outputs"
    PHOTOS_TOO = "photos can be added"
    MORE_PIXELS = "the pixel limit can be raised"
    MAKE_VIDEO = "process it as a clip, or split it into single pictures"
    SPLIT_PAGES = "save its pages as separate files first"
    CLIP_COMMAND = "process it as a clip"
    PHOTO_COMMAND = "process it as a photo"

    # devices and tiles
    OTHER_DEVICE = "choose another device: auto or cpu"
    USE_CPU = "use the CPU"
    USE_CPU_OR_SMALLER = "use the CPU, or smaller pictures"
    SMALLER_TILES = "try smaller tiles"
    OTHER_PRECISION = "use another precision: auto or fp32"
    INSTALL_FULL = "install the full program, with PyTorch"
    INSTALL_VIDEO = "install the program with its libraries for clips"
    OTHER_ENGINE = "use another engine: auto or torch"
    NO_TILES = "use automatic tiling"

    # clusters
    JOIN_CLUSTER = "the address is that of the head node, and this machine has to be part of the cluster"
    CLUSTER_DEVICE = "choose the device auto, cpu or cuda"

    # web page
    OTHER_PORT = "choose another port, or 0 for a free one"

    # weights
    LIST_MODELS = "installed models can be listed"
    VERIFY_MODELS = "the weights may be damaged: verify them"
    OTHER_FEATURES = "specify a file of VGG-16 weights, or train without contrastive terms"
    FETCH_FEATURES = (
        "specify a file of VGG-16 weights (safetensors with torchvision's names), let torchvision download them on a "
        "machine with internet access, or train without contrastive terms"
    )

    # clips
    END_EARLIER = "the part before {seconds} s can be used"
    MATROSKA = "an mkv file can hold everything"
    OTHER_FORMAT = "choose another format"
    OTHER_CODEC = "choose another codec"
    ONE_OF_CODECS = "choose the codec {codecs}"
    START_AGAIN = "start again from the beginning"
    LEAVE_CLIP_OUT = "leave the clip out, or restore it in another job"

    # pairs and frame sets
    MORE_VARIANTS = "use several variants to get more than one pair per photo"
    LOWER_DEMANDS = "require less rain, sample more frames, or allow frames that are more alike"

    # data sets
    GET_DATA_SET = "get it from {page}; {layout}; DERAIN_DATA sets the folder for data sets"
    FETCH_DATA_SET = "get it from {page}, or allow the download; {layout}; DERAIN_DATA sets the folder for data sets"
    NOT_ON_HUB = "get it from {page}; the Hub has {names}"
    OTHER_DATA_ROOT = "choose another folder for data sets"
    MORE_SPACE_FOR_DATA = "free some space or choose another folder for data sets"

    # evaluation
    NOT_STRICT = "evaluate it without strict checks"
    PAD = "pad pictures to a multiple"
    PAD_MAYBE = "sides may have to be multiples of, say, 8: pad pictures"

    # training
    RESUME = "it can be resumed"
    START_RUN = "start a new run instead of resuming"
    FORCE = "it can be forced to continue"
    LOWER_RATE = "lower optim.lr; the last checkpoint is good"
    NAME_PAIRS = "specify validation pairs"
    NAME_DATA = "specify data sets, rain layers or clean photos"
    NAME_REAL = "specify photos of real rain"
    SMALLER_PATCH = "lower data.patch"
    NO_WORKERS = "data.workers = 0 shows the cause"
