"""The help of both commands and of their subcommands."""

from __future__ import annotations

import os
import sys

import pytest
from command_line import call

from spool.cli import CC_SPOOL


def test_the_default_configuration_is_named_in_the_help() -> None:
    """`cc-spool --help` names the path /etc/cc-slurm-sync/config.json."""
    said = call("--help")

    assert 0 == said.code
    assert "/etc/cc-slurm-sync/config.json" in said.out


def test_every_subcommand_has_a_help() -> None:
    """`cc-spool SUBCOMMAND --help` exits with 0 and names the subcommand's arguments."""
    helps = {verb.name: call(verb.name, "--help") for verb in CC_SPOOL.subcommands}

    assert {0} == {said.code for said in helps.values()}
    assert "--once" in helps["drain"].out
    assert "ID|ALL" in helps["retry"].out


def test_help_is_wrapped_at_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No path, no option and no example is broken; other lines fit into the terminal."""
    monkeypatch.setenv("COLUMNS", "50")
    lines = call("replay", "--help").out.splitlines()

    assert "  cc-spool replay /var/lib/cc-slurm-sync/delivered" in lines
    assert "                        /etc/cc-slurm-sync/config.json)" in lines
    assert [] == [line for line in lines if len(line) > 50 and " " in line.strip()[2:]][1:]


def test_a_help_ends_with_examples_and_exit_codes() -> None:
    """A subcommand has its own exit codes only if they differ from those of the command."""
    every, plugin, drain = (call(*words, "--help").out for words in ([], ["check"], ["drain"]))

    assert "\nexamples:\n  cc-spool status\n      show what is pending" in every
    assert "\nexit codes:\n  0   success\n" in every
    assert "\n  3   UNKNOWN: the check could not be run\n" in plugin
    assert "exit codes:" not in drain


@pytest.mark.parametrize("topic", [[], ["list"]])
def test_help_is_a_subcommand(topic: list[str]) -> None:
    """`cc-spool help list` prints what `cc-spool list --help` prints."""
    said = call("help", *topic)

    assert (0, call(*topic, "--help").out) == (said.code, said.out)


@pytest.mark.parametrize(
    ("columns", "terminal", "width"), [("70", 90, 70), ("", 90, 90), ("", None, 80), ("x", 0, 80)]
)
def test_help_is_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, terminal: int | None, width: int
) -> None:
    """COLUMNS has precedence; the default is 80."""

    def size(_descriptor: int) -> os.terminal_size:
        if terminal is None:
            raise OSError("not a terminal")
        return os.terminal_size((terminal, 24))

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "get_terminal_size", size)
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    longest = max(map(len, CC_SPOOL.parser([]).format_help().splitlines()))

    assert width - 12 < longest < width
