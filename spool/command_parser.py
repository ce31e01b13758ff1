"""The parser of the commands: help texts that wrap at spaces, and suggestions after a mistake."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from slurm.type_names import Any, NoReturn
from spool.console import write_output

Texts = tuple[tuple[str, str], ...]
"""Pairs of a command line and what it does."""

_INDENT = 6


def epilog(examples: Texts, exit_codes: Mapping[int, str]) -> str:
    """Return the end of a help text: examples and exit codes, each on a line with a tab."""
    parts = []
    if examples:
        parts.append("\n".join(["examples:", *(f"{line}\t{about}" for line, about in examples)]))
    if exit_codes:
        codes = (f"{code}\t{about}" for code, about in exit_codes.items())
        parts.append("\n".join(["exit codes:", *codes]))
    return "\n\n".join(parts)


class CommandParser(argparse.ArgumentParser):
    """An argument parser that suggests similar words, and raises if help cannot be written.

    `subcommands` has the parsers made so far by name, `names` are the names of all subcommands.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_HelpFormatter, allow_abbrev=False, **settings)
        self.subcommands: dict[str, CommandParser] = {}
        self.names: tuple[str, ...] = ()

    def check_options(self, words: Sequence[str]) -> None:
        """Exit with an error if a long option is unknown; argparse would report its value first."""
        known = self._options_of(words)
        options = [
            word
            for word in takewhile(lambda word: word != "--", words)
            if word.startswith("--") and " " not in word
        ]
        unknown = [option for option in options if option.partition("=")[0] not in known]
        if unknown:
            self.refuse(unknown, words)

    def refuse(self, unknown: Iterable[str], words: Sequence[str]) -> NoReturn:
        """Exit with an error that names the unknown arguments and suggests similar ones."""
        known = [*self._options_of(words), *self.names]
        named = [self.subcommands[word] for word in words if word in self.subcommands]
        hints = (f"{word}{_suggestion(word.partition('=')[0], known)}" for word in unknown)
        (named or [self])[0].error("; ".join(f"unknown argument {hint}" for hint in hints))

    def _options_of(self, words: Sequence[str]) -> list[str]:
        """Return the options of this parser and of the subcommands named on the command line."""
        named = (self.subcommands[word] for word in words if word in self.subcommands)
        return [*self._option_string_actions, *(each for one in named for each in one.options())]

    def options(self) -> list[str]:
        """Return all option strings of this parser."""
        return list(self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise `ArgumentError` if a value is none of the choices; suggest the most similar one."""
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            hint = _suggestion(str(value), choices)
            words = f"unknown value {value!r}{hint} (choose from {', '.join(choices)})"
            raise argparse.ArgumentError(action, words)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            write_output(message)
        else:
            super()._print_message(message, file)


class _HelpFormatter(argparse.HelpFormatter):
    """A formatter that breaks lines only at spaces, so no path or option is broken."""

    def __init__(self, prog: str, **settings: Any) -> None:
        # argparse makes formatters that print nothing, and each would load shutil for the width
        super().__init__(prog, **{"width": _columns() - 2} | settings)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrapped(text, width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Return a text wrapped to the width; a tab in a line separates a term from its meaning."""
        lines: list[str] = []
        for line in text.split("\n"):
            term, tab, about = line.partition("\t")
            lines += _term_lines(term, about, width) if tab else _wrapped(line, width) or [""]
        return "\n".join(indent + line for line in lines)


def _columns() -> int:
    """Return the width of the terminal in columns; 80 if there is no terminal."""
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (AttributeError, ValueError, OSError):
        return 80


def _term_lines(term: str, about: str, width: int) -> list[str]:
    meaning = _wrapped(about, width - _INDENT)
    if len(term) < _INDENT - 2:
        first = f"  {term}".ljust(_INDENT) + meaning[0]
        return [first, *(" " * _INDENT + line for line in meaning[1:])]
    return [f"  {term}", *(" " * _INDENT + line for line in meaning)]


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap  # noqa: PLC0415 - 1 ms, needed only for help texts

    return wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _suggestion(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` if one of the known words is similar, else ""."""
    from difflib import get_close_matches  # noqa: PLC0415 - 4 ms, needed only after a mistake

    found = get_close_matches(word, known, 1)
    return f"; did you mean {found[0]}?" if found else ""
