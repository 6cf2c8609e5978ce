"""Plain help texts: options in named groups, examples at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

__all__ = [
    "EXAMPLES",
    "FILES",
    "MESSAGES",
    "MODEL",
    "OUTPUT",
    "RUN",
    "HelpfulCommand",
    "HelpfulGroup",
    "option_groups",
    "write_examples",
]

OUTPUT: Final = "Output"
FILES: Final = "Which files"
MODEL: Final = "Model and device"
RUN: Final = "Run"
MESSAGES: Final = "Messages"

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "derain": (
        ("derain photo.jpg", "Write photo_derained.jpg next to it."),
        ("derain holiday/ -r -o clean/", "A folder with its subfolders."),
        ("derain video clip.mp4", "Write clip_derained.mp4 next to it."),
    ),
    "derain derain": (
        ("derain photo.jpg", "Write photo_derained.jpg next to it."),
        ("derain holiday/ -r -o clean/", "A folder with its subfolders."),
        ("derain '*.tif' --format jpg --compare", "JPEG, and before/after pictures."),
    ),
    "derain video": (
        ("derain video clip.mp4", "Write clip_derained.mp4 next to it."),
        ("derain video clip.mp4 --start 1:30 --preview 5", "Try 5 seconds first, side by side."),
        ("derain video DCIM/ -o clean/ --join trip.mp4", "Also join all clips of a dash-cam into one file."),
    ),
    "derain watch": (
        ("derain watch incoming/ -o clean/", "Process files as they arrive."),
        ("derain watch /mnt/card -r -o clean/ --settle 10", "With subfolders, for slow copies."),
    ),
    "derain serve": (
        ("derain serve --open", "Open the page in your browser."),
        ("derain serve --host 0.0.0.0", "Let other devices in the network use it."),
        ("derain serve --port 0 --max-upload 500", "A free port; files up to 500 MB."),
    ),
    "derain frames": (
        ("derain frames clips/ -o rain/", "Select rainy frames from the clips of a folder."),
        ("derain frames clips/ -o rain/ --total 300 --test 60", "A smaller set."),
        ("derain frames clips/ -r -o rain/ --dry-run", "Only list the clips."),
    ),
    "derain eval": (
        ("derain eval --dataset pairs/", "Evaluate the default model on a folder of pairs."),
        ("derain eval --dataset Rain200H -m fast -m input", "Compare models on a known data set."),
        ("derain eval --dataset rain/ --report report/", "Photos without ground truth, with a report."),
    ),
    "derain train": (
        ("derain train --clean photos/ -o runs/first", "Train on photos with generated rain."),
        ("derain train --dataset Rain200H --recipe paper -o runs/paper", "Train the network of the paper."),
        ("derain train --clean photos/ -o runs/first --resume", "Resume an interrupted run."),
    ),
    "derain finetune-real": (
        ("derain finetune-real --real rain/ --clean photos/ -o runs/mine", "Adapt `fast` to photos in real rain."),
        ("derain finetune-real --real rain/ --clean photos/ -o runs/mine --minutes 120", "Stop after two hours."),
    ),
    "derain synth": (
        ("derain synth photos/ -o pairs/", "One pair per photo, with realistic rain."),
        ("derain synth photos/ -o pairs/ --profile light --profile heavy", "Two kinds of rain, a folder each."),
        ("derain synth photos/ -r -o pairs/ --variants 3 --max-side 1600", "Three pairs per photo, reduced in size."),
    ),
    "derain models": (
        ("derain models", "List the installed models."),
        ("derain models show fast", "Training, scores, licence and limits of a model."),
        ("derain models verify", "Check all installed weights."),
    ),
    "derain models list": (
        ("derain models list", "A few lines on each installed model."),
        ("derain models list --json", "One JSON record per model."),
    ),
    "derain models show": (
        ("derain models show fast", "An installed model."),
        ("derain models show runs/mine/best.safetensors", "A weight file."),
    ),
    "derain models verify": (
        ("derain models verify", "Check all installed models."),
        ("derain models verify runs/mine/best.safetensors", "Check a weight file."),
    ),
    "derain models path": (
        ("derain models path fast", "Print the path of the weight file."),
        ("derain models path fast --json", "The same as a JSON record."),
    ),
    "derain models average": (
        ("derain models average fast mine.safetensors -o mean.safetensors", "The mean of two models."),
        (
            "derain models average fast mine.safetensors -o mean.safetensors --val pairs/",
            "With scores on your own pairs in the model card.",
        ),
    ),
    "derain models export": (
        ("derain models export fast --to onnx", "Write fast.onnx, for ONNX Runtime and others."),
        ("derain models export fast --to openvino -o net/fast.xml", "For OpenVINO; fast.bin goes with it."),
    ),
    "derain completion": (
        ("derain completion bash", "For bash: eval it in ~/.bashrc."),
        ("derain completion zsh", "For zsh: a file _derain in a folder of $fpath."),
        ("derain completion fish", "For fish: ~/.config/fish/completions/derain.fish."),
    ),
    "derain models pull": (
        ("derain models pull owner/name", "The newest version; then: derain photo.jpg -m owner/name"),
        ("derain models pull owner/name@v1.0", "A certain version."),
    ),
    "derain models push": (
        ("derain models push runs/mine/best.safetensors owner/name", "Publish your own weights."),
        ("derain models push mine.safetensors owner/name --private", "For yourself only."),
    ),
    "derain info": (
        ("derain info", "Print everything as text."),
        ("derain info --json", "The same as JSON."),
    ),
}
"""Command lines with their meaning, by the path of the command."""


class HelpfulCommand(TyperCommand):
    """A command whose help has one section per group of options, and examples."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = [self.options_metavar or ""]
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                name = parameter.metavar or str(parameter.name).upper()
                pieces.append(name if parameter.required else f"[{name}]")
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_groups(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_examples(ctx, formatter)


class HelpfulGroup(TyperGroup):
    """A command with subcommands whose help has groups of options, and examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_groups(self.get_params(ctx), ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_examples(ctx, formatter)


def write_examples(ctx: Any, formatter: Any) -> None:
    """Add the section of examples to the help of the command of `ctx`."""
    with formatter.section("Examples"):
        for command, meaning in EXAMPLES[ctx.command_path]:
            formatter.write(f"{'':{formatter.current_indent}}{command}\n")  # never wrapped: it is to be copied
            with formatter.indentation():
                formatter.write_text(meaning)


def option_groups(parameters: list[Any], ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Names and meanings of arguments and options, by the title of their group.

    Arguments come first, then the groups in the order of their first options. No group is empty.
    """
    groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        if parameter.param_type_name == "argument":
            record = (parameter.metavar or str(parameter.name).upper(), record[1])
            group = "Arguments"
        elif parameter.name == "help":
            group = MESSAGES
        else:
            group = parameter.rich_help_panel or "Options"
        groups.setdefault(group, []).append(record)
    return {title: records for title, records in groups.items() if records}


def _write_groups(parameters: list[Any], ctx: Any, formatter: Any) -> None:
    for title, records in option_groups(parameters, ctx).items():
        with formatter.section(title):
            formatter.write_dl(records)
