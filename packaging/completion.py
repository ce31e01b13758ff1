"""Write the completions of the commands for bash, zsh and fish.

    completion.py DIRECTORY     writes DIRECTORY/cc-spool.bash and so on

shtab makes those for bash and zsh; it does not know fish.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import shtab

from spool.cli import CC_SPOOL
from spool.command_parser import CommandParser
from spool.program import Program
from sweeper.cli import CC_SWEEP

_FILES = frozenset({"FILE", "DIR"})


def complete_parser(program: Program) -> CommandParser:
    """Return the parser of a command with all subcommands; file arguments complete to files."""
    parser = program.parser([subcommand.name for subcommand in program.subcommands])
    for each in (parser, *parser.subcommands.values()):
        for action in each._actions:
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # read by shtab
    return parser


def fish(program: Program) -> str:
    """Return the completion for fish."""
    parser, name = complete_parser(program), program.name
    before = f"not __fish_seen_subcommand_from {' '.join(parser.subcommands)}"
    lines = [f"complete -c {name} -f"]
    for command, subparser in parser.subcommands.items():
        about = _quoted(subparser.description or "")
        lines.append(f"complete -c {name} -n '{before}' -a {command} -d {about}")
    lines += _fish_options(name, before, parser)
    for command, subparser in parser.subcommands.items():
        lines += _fish_options(name, f"__fish_seen_subcommand_from {command}", subparser)
    return "\n".join(lines) + "\n"


def _fish_options(name: str, when: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        words = [f"complete -c {name} -n '{when}'", *map(_fish_name, action.option_strings)]
        if action.choices:
            words.append(f"-x -a {_quoted(' '.join(map(str, action.choices)))}")
        elif action.metavar in _FILES:
            words.append("-r -F")
        elif action.nargs != 0:
            words.append("-x")
        if action.option_strings or action.choices or action.metavar in _FILES:
            text = (action.help or "") % {"default": action.default, "prog": name}
            yield " ".join([*words, f"-d {_quoted(text)}"])


def _fish_name(option: str) -> str:
    return f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def completions() -> dict[str, str]:
    """Return the completions by file name."""
    found = {}
    for program in (CC_SPOOL, CC_SWEEP):
        prefix = program.name.replace("-", "_")  # else both define the same function
        for shell in ("bash", "zsh"):
            text = shtab.complete(complete_parser(program), shell, root_prefix=prefix)
            found[f"{program.name}.{shell}"] = text
        found[f"{program.name}.fish"] = fish(program)
    return found


def main(directory: str) -> None:
    """Write all completions."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    for name, text in completions().items():
        Path(directory, name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
