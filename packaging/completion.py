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
from spool.program import Program
from sweeper.cli import CC_SWEEP

_FILES = frozenset({"FILE", "DIR"})


def complete_parser(program: Program) -> argparse.ArgumentParser:
    """Return the parser of a command with all subcommands; file arguments complete to files."""
    parser = program.parser([subcommand.name for subcommand in program.subcommands])
    for each in (parser, *subparsers(parser).values()):
        for action in each._actions:
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return parser


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the subcommands by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def fish(program: Program) -> str:
    """Return the completion for fish."""
    parser = complete_parser(program)
    commands = subparsers(parser)
    name, seen = program.name, " ".join(commands)
    lines = [f"complete -c {name} -f"]
    before = f"not __fish_seen_subcommand_from {seen}"
    for subcommand in program.subcommands:
        about = _quoted(subcommand.help)
        lines.append(f"complete -c {name} -n '{before}' -a {subcommand.name} -d {about}")
    lines += _fish_options(name, before, parser)
    for command, subparser in commands.items():
        lines += _fish_options(name, f"__fish_seen_subcommand_from {command}", subparser)
    return "\n".join(lines) + "\n"


def _fish_options(name: str, when: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        words = [f"complete -c {name} -n '{when}'"]
        for string in action.option_strings:
            words.append(f"-l {string[2:]}" if string.startswith("--") else f"-s {string[1:]}")
        if action.choices and action.option_strings:
            words.append(f"-x -a {_quoted(' '.join(map(str, action.choices)))}")
        elif action.metavar in _FILES:
            words.append("-r -F")
        elif action.nargs != 0:
            words.append("-x")
        if action.option_strings or action.metavar in _FILES:
            text = (action.help or "") % {"default": action.default, "prog": name}
            yield " ".join([*words, f"-d {_quoted(text)}"])


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
