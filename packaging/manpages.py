"""Write the manual pages from the parsers, the exit codes and the schema of the configuration.

    manpages.py DIRECTORY     writes DIRECTORY/man8/cc-spool.8 and so on

The date of the pages is that of the last commit (SOURCE_DATE_EPOCH) or of the newest release.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from configuration_table import rows

from spool import __version__
from spool.cli import CC_SPOOL
from spool.program import Program
from sweeper.cli import CC_SWEEP

ROOT = Path(__file__).parent.parent
FILES = {
    "/etc/cc-slurm-sync/config.json": "The configuration, see cc-slurm-sync.json(5).",
    "/etc/cc-slurm-sync/token": "The token of cc-backend, and nothing else.",
    "/var/spool/cc-slurm-sync": "The spool: new/ has events, todo/ runs to deliver, open/ runs "
    "that wait for their end, dead/ what cc-backend rejected.",
    "/var/lib/cc-slurm-sync": "Locks, state, and the archive of delivered runs.",
}
ENVIRONMENT = {
    "NO_COLOR": "If it is set, nothing is printed in colour.",
    "CREDENTIALS_DIRECTORY": "Set by systemd. A credential named token has precedence over the "
    "token file.",
    "JOURNAL_STREAM": "Set by systemd. If stderr is the journal, each line has its priority.",
}
ABOUT = """cc-slurm-sync reports every Slurm job to cc-backend, the server of ClusterCockpit.

Two hooks of slurmctld (PrologSlurmctld and EpilogSlurmctld) create one file in the spool for
each start and end of a job, an event. The drain (cc-spool drain, a service) asks Slurm about the
job, keeps its facts on disk and delivers them until cc-backend has accepted them. The sweep
(cc-sweep apply, from a timer) compares Slurm with cc-backend and repairs what no hook has seen.

One file is one run, and its directory is its state. A run that cc-backend rejects becomes a dead
letter; all others go on. The program never deletes anything undelivered.

Installation, operation, monitoring and troubleshooting are described in
/usr/share/doc/cc-slurm-sync."""
CONFIGURATION = """One JSON file, /etc/cc-slurm-sync/config.json. Keys of a section are written here
with a dot: slurm.squeue is the key squeue of the object slurm. A key that begins with _ or # is a
comment. An unknown key is an error. All errors are reported together, each with a fix."""
CONFIGURATION_EXAMPLES = (
    (
        '{"clustername": "fritz", "cc-backend": {"host": "https://cc.example.org"}}',
        "a complete file: all other keys have defaults",
    ),
    ("cc-spool configtest", "check the file"),
    ("systemctl reload cc-spool", "use it; also without this it is used within seconds"),
)
_ESCAPES = {"\\": "\\e", "-": "\\-", '"': "\\(dq", "'": "\\(aq", "…": "...", "≥": ">="}


def pages() -> dict[str, str]:
    """Return the pages by their path below a directory of manual pages."""
    return {
        "man8/cc-spool.8": _command_page(CC_SPOOL, "cc-sweep"),
        "man8/cc-sweep.8": _command_page(CC_SWEEP, "cc-spool"),
        "man7/cc-slurm-sync.7": _overview(),
        "man5/cc-slurm-sync.json.5": _configuration(),
    }


def _command_page(program: Program, sister: str) -> str:
    parser = program.parser([subcommand.name for subcommand in program.subcommands])
    about = re.split(r"[;(.]", program.about)[0].strip()
    lines = [*_head(program.name, 8, about), ".SH SYNOPSIS"]
    lines += [f".B {program.name}", ".RI [ OPTIONS ]", ".I COMMAND", ".RI [ ARGUMENTS ]"]
    lines += [".SH DESCRIPTION", _text(program.about), ".SH OPTIONS"]
    lines += _options(_visible(parser))
    lines.append(".SH COMMANDS")
    common = {string for action in parser._actions for string in action.option_strings}
    details = {subcommand.name: subcommand for subcommand in program.subcommands}
    for name, subparser in parser.subcommands.items():
        own = [a for a in _visible(subparser) if not common.intersection(a.option_strings)]
        lines.append(f'.SS "{_term(_usage(program.name, name, own))}"')
        lines.append(_text(_sentence(subparser.description or "")))
        lines += _options(own)
        if name in details and details[name].exit_codes:
            lines += [".PP", "Exit status:", *_codes(details[name].exit_codes)]
    examples = [*program.examples]
    examples += (each for subcommand in program.subcommands for each in subcommand.examples)
    lines += [".SH EXIT STATUS", *_codes(program.exit_codes)]
    lines += [".SH FILES", *_terms(FILES.items()), ".SH ENVIRONMENT", *_terms(ENVIRONMENT.items())]
    lines += [".SH EXAMPLES", *_terms(dict(examples).items())]
    lines += _see_also([f"{sister}(8)", "cc-slurm-sync.json(5)", "cc-slurm-sync(7)"])
    return "\n".join(lines) + "\n"


def _overview() -> str:
    lines = [*_head("cc-slurm-sync", 7, "report Slurm jobs to ClusterCockpit")]
    lines += [".SH DESCRIPTION", *_paragraphs(ABOUT), ".SH FILES", *_terms(FILES.items())]
    lines += [".SH EXAMPLES", *_terms(CC_SPOOL.examples)]
    lines += _see_also(["cc-spool(8)", "cc-sweep(8)", "cc-slurm-sync.json(5)", "slurm.conf(5)"])
    return "\n".join(lines) + "\n"


def _configuration() -> str:
    lines = [*_head("cc-slurm-sync.json", 5, "configuration of cc-slurm-sync")]
    lines += [".SH DESCRIPTION", *_paragraphs(CONFIGURATION), ".SH KEYS"]
    for key, default, meaning in rows():
        lines += [".TP", f'.BR "{_term(key)}" " (default: {_term(default)})"']
        lines.append(_text(_sentence(_plain(meaning))))
    files = {path: FILES[path] for path in sorted(FILES) if path.startswith("/etc")}
    lines += [".SH FILES", *_terms(files.items())]
    lines += [".SH EXAMPLES", *_terms(CONFIGURATION_EXAMPLES)]
    lines += _see_also(["cc-spool(8)", "cc-sweep(8)", "cc-slurm-sync(7)"])
    return "\n".join(lines) + "\n"


def _plain(markdown: str) -> str:
    """Return text without the marks of Markdown."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"docs/\1", markdown.replace("`", ""))


def _head(name: str, section: int, about: str) -> list[str]:
    title = f'.TH {name.upper()} {section} {_date()} "cc-slurm-sync {__version__}"'
    return [title, ".SH NAME", f"{_term(name)} \\- {_text(about[0].lower() + about[1:])}"]


def _date() -> str:
    """Return the date that the build asks for, else that of the newest release."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return time.strftime("%Y-%m-%d", time.gmtime(int(epoch)))
    found = re.search(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", (ROOT / "CHANGELOG.md").read_text())
    return found[0] if found else time.strftime("%Y-%m-%d")


def _see_also(names: list[str]) -> list[str]:
    lines = [".SH SEE ALSO"]
    for number, name in enumerate(names, 1):
        page, _, section = name.partition("(")
        lines.append(f".BR {_term(page)} ({section}" + ("," if number < len(names) else ""))
    return lines


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
    return (action.help or "") % {"default": action.default, "prog": "the program"}


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""
    return choices or action.dest.upper()


def _sentence(text: str) -> str:
    if text.partition(" ")[0].rstrip(",:").isalpha():  # no file name, no key
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield _text(paragraph)


def _codes(codes: Mapping[int, str]) -> Iterator[str]:
    return _terms((str(code), text) for code, text in codes.items())


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in terms:
        yield ".TP"
        yield f'.B "{_term(term)}"'
        yield _text(_sentence(text))


def _text(text: str) -> str:
    """Return a paragraph as roff shows it literally, in short lines; a sentence ends a line."""
    sentences = re.split(r"(?<=[a-z)][.?!]) ", " ".join(text.split()))
    lines = [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, 70, break_long_words=False, break_on_hyphens=False)
    ]
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
