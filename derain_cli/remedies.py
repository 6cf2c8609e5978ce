"""Ways out of a failure, by name. An error says which one there is; each front end says how to take it.

The command line names its flags (`derain_cli.cli.hints`), a web page would name its fields; who calls from Python reads
the sentences here.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Remedy"]


class Remedy(StrEnum):
    """A way out; its value is the sentence for callers from Python, with the error's facts in braces."""

    # where outputs go
    REPLACE = "allow it to be replaced"
    REPLACE_OR_ANOTHER = "allow it to be replaced, or choose another output"
    OTHER_OUTPUT = "choose another output"
    OUTPUT_FOLDER = "name a folder for the outputs"
    KEEP_NAMES = "outputs in a folder of their own keep the names of the inputs"
    OTHER_FOLDER_OR_SUFFIX = "use different output folders, or another suffix"
    OTHER_OUTPUT_OR_SUFFIX = "choose another output or another suffix"
    RENAME_OR_OTHER_FOLDER = "rename one, or use different output folders"
    OTHER_OUTPUT_OR_REPLACE = "choose another output, or have all of it made again"

    # which inputs there are
    SUB_FOLDERS = "sub-folders were not looked into"
    FOLLOW_LINKS = "symbolic links were not followed"
    OTHER_PATTERNS = "the patterns of what to include and exclude left everything out"
    ONLY_OUTPUTS = "only earlier outputs are there"
    PHOTOS_TOO = "photos may be added"
    MORE_PIXELS = "the limit on pixels can be raised"
    MAKE_VIDEO = "take it as a clip, or split it into single pictures"
    SPLIT_PAGES = "save its pages as single files first"
    CLIP_COMMAND = "take it as a clip"
    PHOTO_COMMAND = "take it as a photo"

    # what computes
    OTHER_DEVICE = "choose another device: auto or cpu"
    USE_CPU = "use the CPU"
    USE_CPU_OR_SMALLER = "use the CPU, or smaller pictures"
    SMALLER_TILES = "try smaller tiles"
    NO_TILES = "leave the choice of tiles to it"

    # weights
    LIST_MODELS = "installed models can be listed"
    VERIFY_MODELS = "the weights may be damaged: verify them"
    OTHER_FEATURES = "name a file of VGG-16 weights, or train without contrastive terms"
    FETCH_FEATURES = (
        "name a file of VGG-16 weights (safetensors with torchvision's names), let torchvision download them once "
        "where there is a network, or train without contrastive terms"
    )

    # clips
    END_EARLIER = "what comes before {seconds} s can be taken"
    MATROSKA = "an mkv file holds all"
    OTHER_FORMAT = "choose another format"
    OTHER_CODEC = "choose another codec"
    ONE_OF_CODECS = "choose the codec {codecs}"
    START_AGAIN = "start again from the beginning"

    # sets of pairs and frames
    MORE_VARIANTS = "ask for several variants to have more than one of each photo"
    LOWER_DEMANDS = "ask for less rain, look at more frames, or take pictures that are more alike"

    # data sets
    GET_DATA_SET = "get it from {page}; {layout}; DERAIN_DATA names the folder of all sets"
    FETCH_DATA_SET = "get it from {page}, or have it downloaded; {layout}; DERAIN_DATA names the folder of all sets"
    NOT_ON_HUB = "get it from {page}; on the Hub there are {names}"
    OTHER_DATA_ROOT = "choose another folder for data sets"
    MORE_SPACE_FOR_DATA = "free some space or choose another folder for data sets"

    # measuring
    NOT_STRICT = "measure all the same by not being strict"
    PAD = "pad pictures to a multiple"
    PAD_MAYBE = "sides may have to be multiples of 8 or so: pad pictures"

    # training
    RESUME = "it can be resumed"
    START_RUN = "start one instead of resuming it"
    FORCE = "it can be forced to go on"
    LOWER_RATE = "lower optim.lr; the last checkpoint is good"
    NAME_PAIRS = "name pairs to validate on"
    NAME_DATA = "name data sets, rain layers or clean photos"
    NAME_REAL = "name photos in real rain"
    SMALLER_PATCH = "lower data.patch"
    NO_WORKERS = "data.workers = 0 shows why"
