"""Option objects: frozen, documented, validated once.

Every command builds one of these objects and passes it on as a whole; options specific to one job are defined there.
Recipes are TOML files with the tables and keys of `TrainConfig`.
"""

from derain_cli.config.photo import DEFAULT_MAX_PIXELS, EncodeOptions
from derain_cli.config.recipes import apply_overrides, load_recipe, parse_overrides, recipe_names
from derain_cli.config.restore import RestoreOptions
from derain_cli.config.schema import differing_keys, from_mapping, to_mapping
from derain_cli.config.training import (
    AUTO_COMPILE_STEPS,
    ContrastConfig,
    ContrastMode,
    DataConfig,
    DetailBlock,
    LoopConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from derain_cli.config.video import HARDWARE, Temporal, VideoCodec, VideoOptions

__all__ = [
    "AUTO_COMPILE_STEPS",
    "DEFAULT_MAX_PIXELS",
    "HARDWARE",
    "ContrastConfig",
    "ContrastMode",
    "DataConfig",
    "DetailBlock",
    "EncodeOptions",
    "LoopConfig",
    "ModelConfig",
    "OptimConfig",
    "RestoreOptions",
    "Temporal",
    "TrainConfig",
    "VideoCodec",
    "VideoOptions",
    "apply_overrides",
    "differing_keys",
    "from_mapping",
    "load_recipe",
    "parse_overrides",
    "recipe_names",
    "to_mapping",
]
