"""The common part of `cc-spool` and `cc-sweep`: options, subcommands, and their preparation.

Only the module of the called subcommand is imported: showing the spool needs no HTTP library.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from slurm.type_names import Any
from spool import __version__, config, console
from spool.command_parser import CommandParser, Texts, epilog
from spool.config import Config
from spool.config.sections import LEVELS
from spool.deferred import when_loaded
from spool.errors import ConfigError
from spool.exit_codes import MEANINGS
from spool.identity import become_service, credentials_directory, open_token

HELP = "help"
_SPOOL_KEY = "spool."


@light_dataclass
class Subcommand:
    """A subcommand: its module, its `--help` text, and its requirements.

    The module has `add_arguments(parser)` and `run(config, args) -> int`. With `needs_delivery` all
    files named by the configuration must be usable, else only the spool: an administrator who
    checks a halt must be able to run `status` in spite of its cause. A subcommand with
    `reads_own_config` reads the configuration itself: its module has `run_without_config(args)`
    instead. `exit_codes` are those with a meaning of their own.
    """

    name: str
    module: str
    help: str
    needs_delivery: bool = False
    reads_own_config: bool = False
    examples: Texts = ()
    exit_codes: Mapping[int, str] = field(default_factory=dict)


@light_dataclass
class Program:
    """A command with its subcommands; `exit_codes` are those of its subcommands."""

    name: str
    about: str
    subcommands: tuple[Subcommand, ...]
    examples: Texts = ()
    exit_codes: Mapping[int, str] = field(default_factory=lambda: MEANINGS)

    def run(self, argv: Sequence[str] | None = None) -> int:
        """Run the command and return its exit code: 2 for wrong arguments, 0 after a help text."""
        words = sys.argv[1:] if argv is None else list(argv)
        console.open_standard_streams()
        _set_up_log(lambda log: log.start_logging(self.name))
        return console.run_command(lambda: self._run(words))

    def _run(self, words: Sequence[str]) -> int:
        parser = self.parser(words)
        parser.check_options(words)
        args, unknown = parser.parse_known_args(words)
        if unknown:
            parser.refuse(unknown, words)
        if args.subcommand == HELP:
            return self._run([*([args.topic] if args.topic else []), "--help"])
        level = args.log_level or "info"
        _set_up_log(lambda log: log.start_logging(self.name, level=level))
        subcommand = next(
            subcommand for subcommand in self.subcommands if subcommand.name == args.subcommand
        )
        return _run_subcommand(subcommand, args)

    def parser(self, words: Sequence[str]) -> CommandParser:
        """Return the parser, with the arguments of the subcommands that the command line names.

        If the first word is a subcommand and no other one is, only its parser is made.
        """
        names = [subcommand.name for subcommand in self.subcommands]
        is_named = bool(words) and [words[0]] == [word for word in words if word in names]
        more = f"`{self.name} help COMMAND` shows the options of a command."
        parser = CommandParser(
            prog=self.name,
            description=self.about,
            epilog=f"{more}\n\n{epilog(self.examples, self.exit_codes)}",
        )
        parser.names = (*names, HELP)
        parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
        add_common(parser)
        subparsers = parser.add_subparsers(
            title="commands", dest="subcommand", metavar="COMMAND", required=True, prog=self.name
        )
        for subcommand in self.subcommands:
            if is_named and subcommand.name != words[0]:
                continue
            subparser = subparsers.add_parser(
                subcommand.name,
                help=subcommand.help,
                description=subcommand.help,
                epilog=epilog(subcommand.examples, subcommand.exit_codes),
            )
            add_common(subparser, after_subcommand=True)
            if subcommand.name in words:
                _module_of(subcommand).add_arguments(subparser)
            parser.subcommands[subcommand.name] = subparser
        if is_named:
            return parser
        text = "show the help of a command"
        help_parser = subparsers.add_parser(HELP, help=text, description=text)
        help_parser.add_argument(
            "topic", nargs="?", choices=names, metavar="COMMAND", help="the command to explain"
        )
        parser.subcommands[HELP] = help_parser
        return parser


def add_common(parser: argparse.ArgumentParser, *, after_subcommand: bool = False) -> None:
    """Add the common options; `after_subcommand`: no defaults, so values set before it stay."""
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
        "--log-level",
        choices=LEVELS,
        default=absent,
        help="lowest level of the messages that are logged (default: log.level of the"
        " configuration)",
    )
    parser.add_argument(
        "-d",
        "--debug",
        action="store_const",
        const="debug",
        dest="log_level",
        default=absent,
        help="the same as --log-level debug",
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
    open_log(loaded, args)
    return loaded


def open_log(loaded: Config, args: argparse.Namespace) -> None:
    """Set level and format of the log (options, then configuration), and the `--log-file`.

    Raises:
        OSError: the file cannot be written.
    """
    level, form = args.log_level or loaded.log.level, loaded.log.format
    _set_up_log(lambda log: log.set_log(level, form))
    if args.log_file is not None:
        _set_up_log(lambda log: log.log_to_file(args.log_file))


def _set_up_log(step: Callable[[Any], None]) -> None:
    """Do a step with the module `log_output`: now, or just before the first message."""
    when_loaded(logging, lambda: step(importlib.import_module("spool.log_output")))


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


def _run_subcommand(subcommand: Subcommand, args: argparse.Namespace) -> int:
    module = _module_of(subcommand)
    if subcommand.reads_own_config:
        code: int = module.run_without_config(args)
    else:
        code = module.run(prepare(args, needs_delivery=subcommand.needs_delivery), args)
    return code


def _module_of(subcommand: Subcommand) -> Any:
    return importlib.import_module(subcommand.module)
