"""What `cc-spool` and `cc-sweep` have in common: options, verbs, and the steps before a verb runs.

Only the module of the verb that is called is imported: a look at the spool needs no HTTP library.
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
from spool.identity import become_service, credentials, take_token

_SPOOL_KEY = "spool."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb: where it lives, what `--help` says, and what it demands of the site.

    The module has `add_arguments(parser)` and `run(config, args) -> int`. With `delivers` all that
    the configuration names must be usable, else the spool alone: who looks after a halt must not
    be shut out by its cause. A verb with `judges` reads the configuration itself: its module has
    `run_unread(path, args)` instead.
    """

    name: str
    module: str
    help: str
    delivers: bool = False
    judges: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command with its verbs."""

    name: str
    about: str
    verbs: tuple[Verb, ...]

    def run(self, argv: Sequence[str] | None = None) -> int:
        """Run the command; return its exit code.

        Raises:
            SystemExit: wrong arguments (2), `--help` or `--version` (0).
        """
        words = sys.argv[1:] if argv is None else list(argv)
        args = self.parser(words).parse_args(words)
        console.start_logging(self.name, debug=bool(args.debug))
        verb = next(verb for verb in self.verbs if verb.name == args.verb)
        return console.run_command(lambda: _call(verb, args))

    def parser(self, words: Sequence[str]) -> argparse.ArgumentParser:
        """Return the parser; of the verbs among the words with all of their arguments."""
        parser = argparse.ArgumentParser(prog=self.name, description=self.about, allow_abbrev=False)
        parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
        add_common(parser)
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        for verb in self.verbs:
            own = verbs.add_parser(
                verb.name, help=verb.help, description=verb.help, allow_abbrev=False
            )
            add_common(own, again=True)
            if verb.name in words:
                _module(verb).add_arguments(own)
        return parser


def add_common(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add the options of every command; `again` behind the verb, where they need not be given."""
    absent = argparse.SUPPRESS if again else None
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS if again else config.DEFAULT_PATH,
        help=f"configuration (default: {config.DEFAULT_PATH})",
    )
    parser.add_argument("-d", "--debug", action="store_true", default=absent, help="log more")
    parser.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        default=absent,
        help="log into this file; only errors still go to stderr",
    )


def enter(args: argparse.Namespace, *, delivers: bool) -> Config:
    """Read the configuration and the token, become the service user, open the log.

    The token is left in `args.token`.

    Raises:
        ConfigError: all problems; those beside the spool only warn where nothing is delivered.
        SpoolError: there is no state directory.
        OSError: the log cannot be written.
    """
    loaded = load(args.config, delivers=delivers)
    args.token = take_token(loaded)
    become_service(loaded.spool.state_directory)
    if args.log_file is not None:
        console.log_to(args.log_file)
    return loaded


def load(path: Path, *, delivers: bool) -> Config:
    """Read the configuration and look at what it names.

    Raises:
        ConfigError: all problems; those beside the spool only warn where nothing is delivered.
    """
    try:
        return config.load_checked(path, credentials=credentials())
    except ConfigError as error:
        if delivers or any(problem.path.startswith(_SPOOL_KEY) for problem in error.problems):
            raise
        try:
            loaded = config.load(path)
        except ConfigError:
            raise error from None  # the longer list
        return replace(loaded, warnings=loaded.warnings + tuple(map(str, error.problems)))


def _call(verb: Verb, args: argparse.Namespace) -> int:
    module = _module(verb)
    if verb.judges:
        return cast("int", module.run_unread(args))
    return cast("int", module.run(enter(args, delivers=verb.delivers), args))


def _module(verb: Verb) -> Any:
    return importlib.import_module(verb.module)
