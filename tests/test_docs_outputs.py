"""The examples of the documentation: run each command and compare it with what the page shows.

`make doc-outputs` writes the current output into the pages.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import PAGES, REASONS, Block, blocks, is_as_shown
from doc_worlds import WORLDS, DocStage, world

from spool.cli import CC_SPOOL
from sweeper.cli import CC_SWEEP

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = [block for block in BLOCKS if block.reason is None]
PROGRAMS = {program.name: program for program in (CC_SPOOL, CC_SWEEP)}
_COMMAND = re.compile(r"(?:^ {4,}|^[$#] |`)((?:cc-spool|cc-sweep) .*?)(?:`| {3,}|$)", re.MULTILINE)
_PLACEHOLDERS = {"ID": "4711", "N": "3", "SECONDS": "60", "T": "2026-01-01", "...": ""}


@pytest.fixture(scope="module", params=sorted({block.world for block in RUN}))
def stage(request: pytest.FixtureRequest) -> Iterator[tuple[str, DocStage]]:
    """Return each world that a page names, after its setup."""
    with world(request.param) as made:
        yield request.param, made


def test_every_documented_command_prints_what_its_page_shows(stage: tuple[str, DocStage]) -> None:
    """Commands run in page order; times, ages and other numbers that vary may differ."""
    name, made = stage
    wrong = {}
    for block in (block for block in RUN if block.world == name):
        for step in block.steps:
            printed = made.shell(step.command)
            if not is_as_shown(step.output, printed):
                wrong[f"{block}: {step.command}"] = printed

    assert {} == wrong


def test_every_world_is_used_by_a_page() -> None:
    """A world is a test site for documented commands; one that no page names must be removed."""
    assert WORLDS.keys() == {block.world for block in RUN}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_documented_command_is_skipped_only_for_a_known_reason(block: Block) -> None:
    """The comment above a block of commands names its world or one of REASONS."""
    assert block.mark == "" or block.is_in_world or block.reason in REASONS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_documented_prompt_is_in_a_block_of_commands(page: Path) -> None:
    """A command with its output outside such a block would not be checked."""
    found = re.findall(r"^ *\$ .*", page.read_text(), re.MULTILINE)
    known = [f"$ {step.command}" for block in BLOCKS if block.page == page for step in block.steps]

    assert [line for line in found if line not in known] == []


def commands() -> Iterator[str]:
    """Yield each command of ours that a page shows, with values in place of words like ID."""
    for page in PAGES:
        for text in _COMMAND.findall(page.read_text()):
            alone = re.split(r" [|>#]|;| && ", text)[0].strip()
            yield re.sub(r"[\w.]+", lambda word: _PLACEHOLDERS.get(word[0], word[0]), alone)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_the_programs_accept_every_documented_command(command: str) -> None:
    """Options and arguments on the pages exist; a subcommand alone may be only a mention."""
    name, *words = shlex.split(command)
    parser = PROGRAMS[name].parser(words)
    if len(words) == 1 and words[0] in parser.subcommands:
        return
    parser.check_options(words)

    assert [] == parser.parse_known_args(words)[1]
