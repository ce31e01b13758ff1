"""`cc-spool import-config FILE`: convert another reporter's configuration into ours."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from spool import console
from spool.config.convert import Secret, convert
from spool.config.read import keys_of, read_document
from spool.config.schema import Config
from spool.errors import SpoolError
from spool.installation import SETTINGS

SERVICE_USER = "cc-slurm-sync"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="configuration of cc-slurm-adapter, or of the script cc-slurm-sync",
    )
    parser.add_argument(
        "--secrets",
        type=Path,
        metavar="DIR",
        default=SETTINGS,
        help="directory for a file with the token and one with the password (default: %(default)s)",
    )


def run_without_config(args: argparse.Namespace) -> int:
    """Print our configuration, write secrets to files, report on stderr what was done.

    Raises:
        ConfigError: the file cannot be read.
        SpoolError: a secret cannot be written.
    """
    known = frozenset(name for name, field in keys_of(Config) if "section" not in field.metadata)
    converted = convert(read_document(args.file).values, known)
    directory = args.secrets.absolute()
    for secret in converted.secrets:
        path = directory / secret.file_name
        _write_secret(path, secret, args.file)
        section, _, name = secret.key.partition(".")
        converted.document.setdefault(section, {})[name] = str(path)
    console.print_json(converted.document)
    for note in converted.notes:
        sys.stderr.write(console.safe_line(note) + "\n")
    for secret in converted.secrets:
        path = directory / secret.file_name
        line = f"{path} was written; let the service read it: `chown {SERVICE_USER}: {path}`"
        sys.stderr.write(console.safe_line(line) + "\n")
    sys.stderr.write("next: save the output to FILE, then type `cc-spool configtest FILE`\n")
    return 0


def _write_secret(path: Path, secret: Secret, source: Path) -> None:
    """Write a secret to a new file; do nothing if the file exists and contains this secret."""
    console.hide_secret(secret.contents)
    try:
        contents = f"{secret.contents}\n".encode()
    except UnicodeEncodeError:
        surrogate = "an unpaired surrogate (\\uD800 to \\uDFFF)"
        problem = f"the value of {secret.old_key} cannot be written as UTF-8: it has {surrogate}"
        hint = "correct this value, then repeat the command"
        raise SpoolError(str(source), problem, hint) from None
    with suppress(OSError):
        if path.read_bytes() == contents:
            return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        hint = "move it away, or choose another directory with --secrets"
        raise SpoolError(str(path), "exists with other contents", hint) from None
    except OSError as error:
        hint = "choose another directory with --secrets"
        raise SpoolError(str(path), f"cannot be written: {error.strerror}", hint) from error
    with os.fdopen(fd, "wb") as file:
        file.write(contents)
