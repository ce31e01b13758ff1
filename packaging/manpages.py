"""Write the manual pages from the parsers, the exit codes and docs/configuration.md.

manpages.py DIRECTORY     writes DIRECTORY/man8/cc-spool.8 and so on
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from spool import __version__
from spool.cli import CC_SPOOL
from spool.program import Program
from sweeper.cli import CC_SWEEP

_ESCAPES = {"\\": "\\e", "-": "\\-", '"': "\\(dq", "'": "\\(aq", "…": "...", "≥": ">="}
ROOT = Path(__file__).parent.parent
DATE = "2026-11-28"
EXIT_STATUS = {
    0: "Success. For plan: no differences. For check: OK.",
    1: "An internal error. For check: WARNING.",
    2: "Wrong arguments, or a job that does not exist. For check: CRITICAL.",
    3: "Only for check: UNKNOWN.",
    10: "Slurm and cc-backend differ.",
    11: "A safety check refused, or a file was not accepted.",
    69: "Slurm or cc-backend does not answer. Nothing was done.",
    74: "The output could not be written.",
    75: "Another process holds the lock, or runs are still pending.",
    77: "A token or a permission was refused.",
    78: "The configuration has errors. All of them are printed.",
}
FILES = {
    "/etc/cc-slurm-sync/config.json": "The configuration, see cc-slurm-sync.json(5).",
    "/etc/cc-slurm-sync/token": "The token of cc-backend, and nothing else.",
    "/var/spool/cc-slurm-sync": "The spool: new/ events, todo/ runs to deliver, open/ runs that "
    "wait for their end, dead/ what cc-backend rejected.",
    "/var/lib/cc-slurm-sync": "Locks, state, and the archive of delivered runs.",
}
ENVIRONMENT = {
    "NO_COLOR": "If it is set, nothing is printed in colour.",
    "CREDENTIALS_DIRECTORY": "Set by systemd. A credential named token has precedence over the "
    "token file.",
    "JOURNAL_STREAM": "Set by systemd. If stderr is the journal, each line has its priority.",
    "CC_SLURM_SYNC_SPOOL": "Only for the hook stubs: the spool.",
}
EXAMPLES = {
    "cc-spool": {
        "cc-spool status": "Show what is pending and why, and the last delivery.",
        "cc-spool show 4711": "Show the facts of job 4711, what was delivered and what to do.",
        "cc-spool list todo --older 2h": "List runs that have been pending for two hours.",
        "cc-spool retry ALL": "Requeue all dead letters, and deliver all pending runs now.",
        "cc-spool check --full": "Verify the complete setup. Nothing is changed.",
    },
    "cc-sweep": {
        "cc-sweep plan": "Show what differs between Slurm and cc-backend.",
        "cc-sweep apply": "Repair it.",
        "cc-sweep explain 4711": "Show what Slurm, the spool and cc-backend know about one job.",
        "cc-sweep backfill --since 2026-01-01 --until 2026-02-01 --dry-run": "Count the jobs of "
        "January that cc-backend lacks.",
    },
}
ABOUT = """cc-slurm-sync reports every Slurm job to ClusterCockpit's cc-backend.

Two hooks of slurmctld (PrologSlurmctld and EpilogSlurmctld) create one file per start and end of a job, an event, in the spool. The drain (cc-spool drain, a service) asks Slurm about the job, keeps its facts on disk and delivers them until cc-backend has accepted them. The sweep (cc-sweep, from a timer) compares Slurm with cc-backend and repairs what no hook saw.

One file is one run, and its directory is its state. A run that cc-backend rejects becomes a dead letter; all others go on. The program never deletes anything undelivered.

Installation, operation, monitoring and troubleshooting are described in the pages below /usr/share/doc/cc-slurm-sync."""


def pages() -> dict[str, str]:
    """Return the pages by their path below a directory of manual pages."""
    return {
        "man8/cc-spool.8": _command_page(CC_SPOOL, "cc-sweep"),
        "man8/cc-sweep.8": _command_page(CC_SWEEP, "cc-spool"),
        "man7/cc-slurm-sync.7": _overview(),
        "man5/cc-slurm-sync.json.5": _configuration(),
    }


def _command_page(program: Program, sister: str) -> str:
    names = [subcommand.name for subcommand in program.subcommands]
    parser = program.parser(names)
    lines = [*_head(program.name, 8, program.about.rstrip(".")), ".SH SYNOPSIS"]
    lines += [f".B {program.name}", ".RI [ OPTIONS ]", ".I COMMAND", ".RI [ ARGUMENTS ]"]
    lines += [".SH DESCRIPTION", _text(program.about), ".SH OPTIONS"]
    lines += _options(_visible(parser))
    lines.append(".SH COMMANDS")
    common = {string for action in parser._actions for string in action.option_strings}
    for name, subparser in _subparsers(parser).items():
        own = [a for a in _visible(subparser) if not common.intersection(a.option_strings)]
        lines.append(f'.SS "{_term(_usage(program.name, name, own))}"')
        lines.append(_text(_sentence(subparser.description or "")))
        lines += _options(own)
    lines += [".SH EXIT STATUS", *_terms({str(k): v for k, v in EXIT_STATUS.items()})]
    lines += [".SH FILES", *_terms(FILES), ".SH ENVIRONMENT", *_terms(ENVIRONMENT)]
    lines += [".SH EXAMPLES", *_terms(EXAMPLES[program.name])]
    lines += _see_also([f"{sister}(8)", "cc-slurm-sync.json(5)", "cc-slurm-sync(7)"])
    return "\n".join(lines) + "\n"


def _overview() -> str:
    lines = [*_head("cc-slurm-sync", 7, "report Slurm jobs to ClusterCockpit"), ".SH DESCRIPTION"]
    for number, paragraph in enumerate(ABOUT.split("\n\n")):
        lines += [*([".PP"] if number else []), _text(paragraph)]
    lines += [".SH FILES", *_terms(FILES)]
    lines += _see_also(["cc-spool(8)", "cc-sweep(8)", "cc-slurm-sync.json(5)", "slurm.conf(5)"])
    return "\n".join(lines) + "\n"


def _configuration() -> str:
    name = "cc-slurm-sync.json"
    lines = [*_head(name, 5, "configuration of cc-slurm-sync"), ".SH DESCRIPTION"]
    lines.append(
        _text(
            "One JSON file, /etc/cc-slurm-sync/config.json. Keys of a section are written here with "
            "a dot: slurm.squeue is the key squeue of the object slurm. A key that begins with _ "
            "or # is a comment. An unknown key is an error."
        )
    )
    lines.append(".SH KEYS")
    for key, default, meaning in configuration_rows():
        lines += [".TP", f'.BR "{_term(key)}" " (default: {_term(default)})"', _text(meaning)]
    lines += [".SH EXAMPLES", ".EX"]
    lines.append(
        _term('{"clustername": "fritz", "cc-backend": {"host": "https://cc.example.org"}}')
    )
    lines += [".EE", *_see_also(["cc-spool(8)", "cc-sweep(8)", "cc-slurm-sync(7)"])]
    return "\n".join(lines) + "\n"


def configuration_rows() -> list[tuple[str, str, str]]:
    """Return key, default and meaning of every row of the table in docs/configuration.md."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (.+) \|$", page, re.MULTILINE)
    return [(key, _plain(default), _sentence(_plain(meaning))) for key, default, meaning in found]


def _plain(markdown: str) -> str:
    """Return text without the marks of Markdown."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", markdown.replace("`", "")).replace("\\\\", "\\")


def _head(name: str, section: int, about: str) -> list[str]:
    title = f'.TH {name.upper()} {section} {DATE} "cc-slurm-sync {__version__}"'
    return [title, ".SH NAME", f"{_term(name)} \\- {_text(about[0].lower() + about[1:])}"]


def _see_also(names: list[str]) -> list[str]:
    lines = [".SH SEE ALSO"]
    for number, name in enumerate(names, 1):
        page, _, section = name.partition("(")
        lines.append(f".BR {page} ({section}" + ("," if number < len(names) else ""))
    return lines


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _visible(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return options and arguments, without the subcommands."""
    return [
        action
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS
    ]


def _usage(program: str, name: str, actions: Iterable[argparse.Action]) -> str:
    words = [_metavar(action) for action in actions if not action.option_strings]
    return " ".join([program, name, *words])


def _options(actions: Iterable[argparse.Action]) -> Iterator[str]:
    for action in actions:
        value = "" if action.nargs == 0 else _metavar(action)
        names = ", ".join(action.option_strings)
        yield ".TP"
        yield f'.BI "{_term(names)}{" " if names and value else ""}" "{_term(value)}"'
        yield _text(_sentence(_help(action)))


def _help(action: argparse.Action) -> str:
    values = {"default": action.default, "prog": "cc-slurm-sync"}
    return (action.help or "") % values


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""
    return choices or action.dest.upper()


def _sentence(text: str) -> str:
    if text.partition(" ")[0].rstrip(",:").isalpha():  # no file name, no key
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _terms(terms: dict[str, str]) -> Iterator[str]:
    for term, text in terms.items():
        yield ".TP"
        yield f'.B "{_term(term)}"'
        yield _text(text)


def _text(text: str) -> str:
    """Return a paragraph as roff shows it literally, in short lines."""
    lines = textwrap.wrap(text, 60, break_long_words=False, break_on_hyphens=False)
    return "\n".join(re.sub(r"^([.'])", r"\\&\1", _term(line)) for line in lines)


def _term(text: str) -> str:
    """Return text as roff shows it literally, in one line."""
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def main(directory: str) -> None:
    """Write all pages."""
    for name, page in pages().items():
        path = Path(directory, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page)


if __name__ == "__main__":
    main(*sys.argv[1:])
