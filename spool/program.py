"""The common part of `cc-spool` and `cc-sweep`: options, subcommands, and their preparation.

Only the module of the called subcommand is imported: showing the spool needs no HTTP library.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from spool import __version__, config, console
from spool.config import Config
from spool.errors import ConfigError
from spool.identity import become_service, credentials_directory, open_token

_SPOOL_KEY = "spool."


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """A subcommand: its module, its `--help` text, and its requirements.

    The module has `add_arguments(parser)` and `run(config, args) -> int`. With `needs_delivery` all
    files named by the configuration must be usable, else only the spool: an administrator who
    checks a halt must be able to run `status` in spite of its cause. A subcommand with
    `reads_own_config` reads the configuration itself: its module has `run_without_config(args)`
    instead.
    """

    name: str
    module: str
    help: str
    needs_delivery: bool = False
    reads_own_config: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command with its subcommands."""

    name: str
    about: str
    subcommands: tuple[Subcommand, ...]

    def run(self, argv: Sequence[str] | None = None) -> int:
        """Run the command and return its exit code: 2 for wrong arguments, 0 after a help text."""
        words = sys.argv[1:] if argv is None else list(argv)
        console.open_standard_streams()
        console.start_logging(self.name)
        return console.run_command(lambda: self._run(words))

    def _run(self, words: Sequence[str]) -> int:
        args = self.parser(words).parse_args(words)
        console.start_logging(self.name, debug=bool(args.debug))
        subcommand = next(
            subcommand for subcommand in self.subcommands if subcommand.name == args.subcommand
        )
        return _run_subcommand(subcommand, args)

    def parser(self, words: Sequence[str]) -> argparse.ArgumentParser:
        """Return the parser, with the arguments of the subcommands that are among the words."""
        parser = _Parser(prog=self.name, description=self.about, allow_abbrev=False)
        parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
        add_common(parser)
        subcommands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
        for subcommand in self.subcommands:
            subparser = subcommands.add_parser(
                subcommand.name,
                help=subcommand.help,
                description=subcommand.help,
                allow_abbrev=False,
            )
            add_common(subparser, after_subcommand=True)
            if subcommand.name in words:
                _module_of(subcommand).add_arguments(subparser)
        return parser


def add_common(parser: argparse.ArgumentParser, *, after_subcommand: bool = False) -> None:
    """Add the options of every command; `after_subcommand` makes them optional there."""
    absent = argparse.SUPPRESS if after_subcommand else None
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS if after_subcommand else config.DEFAULT_PATH,
        help=f"configuration file (default: {config.DEFAULT_PATH})",
    )
    parser.add_argument(
        "-d", "--debug", action="store_true", default=absent, help="write a more detailed log"
    )
    parser.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        default=absent,
        help="write the log to this file; stderr gets only errors",
    )


def prepare(args: argparse.Namespace, *, needs_delivery: bool) -> Config:
    """Read the configuration and the token, become the service user, open the log.

    The token is left in `args.token`.

    Raises:
        ConfigError: all problems; without `needs_delivery` only those of the spool.
        SpoolError: the state directory does not exist.
        OSError: the log cannot be written.
    """
    loaded = load_config(args.config, needs_delivery=needs_delivery)
    args.token = open_token(loaded)
    become_service(loaded.spool.state_directory)
    if args.log_file is not None:
        console.log_to_file(args.log_file)
    return loaded


def load_config(path: Path, *, needs_delivery: bool) -> Config:
    """Read the configuration and check the files it names.

    Raises:
        ConfigError: all problems; without `needs_delivery` only those of the spool.
    """
    try:
        return config.load_checked(path, credentials=credentials_directory())
    except ConfigError as error:
        if needs_delivery or any(problem.path.startswith(_SPOOL_KEY) for problem in error.problems):
            raise
        try:
            loaded = config.load(path)
        except ConfigError:
            raise error from None  # the longer list
        return replace(loaded, warnings=loaded.warnings + tuple(map(str, error.problems)))


class _Parser(argparse.ArgumentParser):
    """A parser that raises if a help text cannot be written."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            console.write_output(message)
        else:
            super()._print_message(message, file)


def _run_subcommand(subcommand: Subcommand, args: argparse.Namespace) -> int:
    module = _module_of(subcommand)
    if subcommand.reads_own_config:
        return cast("int", module.run_without_config(args))
    return cast("int", module.run(prepare(args, needs_delivery=subcommand.needs_delivery), args))


def _module_of(subcommand: Subcommand) -> Any:
    return importlib.import_module(subcommand.module)
