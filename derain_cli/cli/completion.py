"""`derain completion SHELL`, and the candidates that its scripts ask for. No torch.

The scripts run `_DERAIN_COMPLETE=1 derain WORD...` with the words up to the cursor, the last one incomplete. The answer
has a candidate per line, with its meaning after a tab; `:files` or `:folders` asks the shell to add those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import typer

from derain_cli.cli.console import print_data
from derain_cli.cli.flags import command_from_flags

__all__ = ["ASKED", "candidates", "completion"]

ASKED: Final = "_DERAIN_COMPLETE"
"""The environment variable that asks for candidates."""

_FILES, _FOLDERS = ":files", ":folders"

_BASH = r"""# derain: completion for bash
_derain() {
    local line current=${COMP_WORDS[COMP_CWORD]} more=
    [[ $current == "=" ]] && current=
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) more=-f ;;
            :folders) more=-d ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <(_DERAIN_COMPLETE=1 "$1" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    [[ $more ]] || return
    compopt -o filenames
    if [[ $more == -f && ${#COMPREPLY[@]} == 0 ]]; then
        compopt -o default
    else
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen $more -- "$current")
    fi
}
complete -F _derain derain
"""

_ZSH = r"""#compdef derain
# derain: completion for zsh
_derain() {
    local line more
    local -a found
    for line in "${(@f)$(_DERAIN_COMPLETE=1 "${words[1]}" "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) more=files ;;
            :folders) more=folders ;;
            *$'\t'*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            *) found+=("${line//:/\\:}") ;;
        esac
    done
    (( $#found )) && _describe -V 'derain' found
    [[ $PREFIX == --*=* ]] && compset -P '*='
    case $more in
        files) _files ;;
        folders) _files -/ ;;
    esac
}
if [[ $funcstack[1] == _derain ]]; then
    _derain "$@"
else
    compdef _derain derain
fi
"""

_FISH = r"""# derain: completion for fish
function __derain_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (_DERAIN_COMPLETE=1 $words[1] $words[2..] "$current" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
            case :folders
                __fish_complete_directories (string replace -r '^--[^=]*=' '' -- "$current")
            case '*'
                echo $line
        end
    end
end
complete -c derain -f -a '(__derain_candidates)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@dataclass(frozen=True, kw_only=True)
class CompletionFlags:
    """The flags of `derain completion`."""

    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="Your shell.")]


@command_from_flags(CompletionFlags)
def completion(flags: CompletionFlags) -> int:
    """Print the script that completes commands, options, models and files with the Tab key.

    In bash, add `eval "$(derain completion bash)"` to ~/.bashrc.
    """
    print_data(_SCRIPTS[flags.shell].rstrip())
    return 0


def candidates(
    root: Any, summaries: Mapping[str, str], words: Sequence[str], route: Callable[[Sequence[str]], list[str]]
) -> Iterator[str]:
    """Lines of the answer, as described above.

    Args:
        root: the command line's group of commands.
        summaries: a line on each of its commands, by name, since importing them all takes long.
        words: the words after the program name, the last one incomplete.
        route: puts the name of the default command before the other words.
    """
    before, current, head = _split(words)
    command, context, rest = _command(root, route(before) if before else [])
    parameters = [each for each in command.get_params(context) if not getattr(each, "hidden", False)]
    options = {name: each for each in parameters if each.param_type_name == "option" for name in each.opts}
    value_of = options.get(rest[-1]) if rest and "--" not in rest[:-1] else None
    if value_of is not None and not value_of.is_flag:
        yield from _starting(current, _values(value_of, context), head)
    elif current.startswith("-") and "--" not in rest:
        if command is root:  # no command yet: the default one
            yield from candidates(root, summaries, [*route(["--"])[:1], current], route)
        named = {name: (each.help or "").split("\n")[0] for name, each in options.items()}
        used = {
            name for each in options.values() if not each.multiple for name in each.opts if set(each.opts) & {*rest}
        }
        yield from _starting(current, ((name, text) for name, text in named.items() if name not in used))
    else:
        if command is root:
            yield from _starting(current, summaries.items())
            yield _FILES
        elif hasattr(command, "list_commands"):
            found = {name: command.get_command(context, name) for name in command.list_commands(context)}
            yield from _starting(current, ((name, each.get_short_help_str(100)) for name, each in found.items()))
        arguments = [each for each in parameters if each.param_type_name == "argument"]
        if arguments:
            yield from _starting(current, _values(arguments[-1], context))


def _split(words: Sequence[str]) -> tuple[list[str], str, str]:
    """Complete words, the incomplete one, and what the shell wants before candidates: `--option=` of one word.

    Bash splits --option=value into three words.
    """
    whole: list[str] = []
    for number, word in enumerate(words):
        if word != "=" or not (number and words[number - 1].startswith("--")):
            whole.append(word)
        elif number == len(words) - 1:
            whole.append("")
    *before, current = whole or [""]
    option, assigned, value = current.partition("=")
    if option.startswith("--") and assigned:
        return [*before, option], value, f"{option}="
    return before, current, ""


def _command(root: Any, words: Sequence[str]) -> tuple[Any, Any, list[str]]:
    """The command that `words` call, its context, and the words after its name."""
    command, context, rest = root, root.context_class(root, info_name="derain"), list(words)
    while hasattr(command, "list_commands"):
        names = command.list_commands(context)
        place = next((number for number, word in enumerate(rest) if word in names), None)
        if place is None:
            break
        command, name, rest = command.get_command(context, rest[place]), rest[place], rest[place + 1 :]
        context = command.context_class(command, parent=context, info_name=name)
    return command, context, rest


def _values(parameter: Any, context: Any) -> Iterator[tuple[str, str]]:
    """Values of an option or argument: its choices, words of its metavar, known names; and requests for files."""
    choices = [item.value for item in parameter.shell_complete(context, "") if item.type == "plain"]
    kinds = re.sub(r"\[.*?\]|\.\.\.", "", parameter.metavar or "").split("|")
    words = [each for each in kinds if re.fullmatch(r"[a-z][a-z0-9]*", each)]
    yield from ((each, "") for each in dict.fromkeys([*choices, *words]))
    if "NAME" in kinds and parameter.name in _NAMES:
        yield from ((each, "") for each in _NAMES[parameter.name]())
    if {"FILE", "OUT", "PATH", "CLIP"} & {*kinds}:
        yield _FILES, ""
    elif {"DIR", "FOLDER", "RUN", "CLEAN_DIR"} & {*kinds}:
        yield _FOLDERS, ""


def _starting(current: str, found: Any, head: str = "") -> Iterator[str]:
    for value, text in found:
        if value in (_FILES, _FOLDERS):
            yield value
        elif value.startswith(current):
            yield f"{head}{value}\t{text}" if text else f"{head}{value}"


def _models() -> list[str]:
    from derain_cli.checkpoints.find import installed_models

    return list(installed_models())


def _datasets() -> list[str]:
    from derain_cli.datasets.catalogue import DATASETS

    return list(DATASETS)


def _recipes() -> list[str]:
    from derain_cli.config import recipe_names

    return recipe_names()


_NAMES: Mapping[str, Callable[[], list[str]]] = {
    "model": _models,
    "models": _models,
    "name": _models,
    "names": _models,
    "from_": _models,
    "dataset": _datasets,
    "datasets": _datasets,
    "layers": _datasets,
    "val": _datasets,
    "recipe": _recipes,
}
"""Names that a NAME of a metavar stands for, by the name of the parameter."""
