"""Options for restoring pictures."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Literal

from derain_cli.config.schema import require_option

__all__ = ["EngineName", "RestoreOptions"]

EngineName = Literal["auto", "torch", "openvino", "onnx"]


@dataclass(frozen=True)
class RestoreOptions:
    """How pictures are restored; fields are named like the flags.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        engine: what runs the network: `torch`, or on a CPU `openvino` or `onnx` (ONNX Runtime); `auto` chooses by the
            amount of work (`derain_cli.engine.choice`).
        tile: `auto`, 0 (whole picture) or the tile side in pixels.
        strength: 0 leaves the picture unchanged, 1 removes all detected rain.

    Raises:
        UsageError: a value is out of range.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    tile: int | Literal["auto"] = "auto"
    strength: float = 1.0
    engine: EngineName = "auto"

    def __post_init__(self) -> None:
        base, _, index = self.device.partition(":")
        known = base in {"auto", "cpu", "cuda", "mps"} and (not index or (base == "cuda" and index.isdigit()))
        require_option(
            known and not (":" in self.device and not index),
            "device",
            f"must be auto, cpu, cuda, cuda:N or mps, not {self.device!r}",
        )
        require_option(
            self.precision in typing.get_args(typing.get_type_hints(RestoreOptions)["precision"]),
            "precision",
            f"must be auto, fp32, bf16 or fp16, not {self.precision!r}",
        )
        require_option(
            self.engine in typing.get_args(EngineName),
            "engine",
            f"must be auto, torch, openvino or onnx, not {self.engine!r}",
        )
        if self.tile != "auto":
            require_option(
                isinstance(self.tile, int) and (self.tile == 0 or self.tile >= 64),
                "tile",
                f"must be auto, 0 (whole picture) or at least 64, not {self.tile}",
            )
        require_option(0.0 <= self.strength <= 1.0, "strength", f"must be 0 to 1, not {self.strength}")
