"""A site's wrapper around Slurm's commands: its extra output does not change the facts of a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from recorded_commands import RecordedCommands, commands, ids_of
from recorded_slurm import SERIES

from slurm.client import Slurm
from slurm.decode.fields.scalars import utc_instant
from slurm.decode.json_stream import RecordStream
from slurm.errors import FailureReason, SlurmError
from slurm.process import CommandResult

BANNER = b"*** maintenance on 2026-11-30, slurm 99.1 ***\n\n"


def with_banner(stdout: bytes) -> bytes:
    """Return an answer as a wrapper prints it that shows a banner first."""
    return BANNER + stdout


def with_carriage_returns(stdout: bytes) -> bytes:
    """Return an answer as it comes through a pseudo-terminal (`ssh -t`)."""
    return stdout.replace(b"\n", b"\r\n")


ADDED = [with_banner, with_carriage_returns]


def wrapped(recorded: RecordedCommands, add: Callable[[bytes], bytes]) -> RecordedCommands:
    """Let a wrapper change every answer."""

    def alter(_argv: Sequence[str], _seconds: float, answer: CommandResult) -> CommandResult:
        return replace(answer, stdout=add(answer.stdout))

    recorded.alter = alter
    return recorded


@pytest.mark.parametrize("add", ADDED)
@pytest.mark.parametrize("scenario", ["gpu-two-nodes", "many-states"])
@pytest.mark.parametrize("series", SERIES)
def test_job_facts_are_the_same_behind_a_wrapper(
    series: str, scenario: str, add: Callable[[bytes], bytes]
) -> None:
    """A banner or CRLF line ends change no fact of a job, in JSON and in text."""
    recorded = commands(series, scenario)
    usual = recorded.slurm().jobs(ids_of(recorded))

    assert usual == wrapped(commands(series, scenario), add).slurm().jobs(ids_of(recorded))


@pytest.mark.parametrize("add", ADDED)
@pytest.mark.parametrize(
    "ask",
    [
        Slurm.config,
        Slurm.version,
        Slurm.ping,
        lambda slurm: slurm.description(4201001),
    ],
)
def test_other_answers_are_the_same_behind_a_wrapper(
    ask: Callable[[Slurm], object], add: Callable[[bytes], bytes]
) -> None:
    """A banner or CRLF line ends do not change configuration, version, ping and description."""
    assert ask(commands("26.05").slurm()) == ask(wrapped(commands("26.05"), add).slurm())


@pytest.mark.parametrize("add", [*ADDED, bytes])
def test_output_of_a_wrapper_is_removed_from_a_script(add: Callable[[bytes], bytes]) -> None:
    """The script begins with `#!` and has Unix line ends: sbatch accepts no other."""
    script = b"#!/bin/sh\necho '\n#!'\n"
    recorded = commands("26.05")
    recorded.answers["write batch_script"] = CommandResult((), 0, script + b"\0", b"")

    assert script.decode() == wrapped(recorded, add).slurm().script(1)


def test_script_text_without_a_shebang_is_returned_unchanged() -> None:
    """Without `#!` the beginning of the script is unknown."""
    recorded = commands("26.05")
    recorded.answers["write batch_script"] = CommandResult((), 0, b"Welcome\n", b"")

    assert "Welcome\n" == recorded.slurm().script(1)


@pytest.mark.parametrize("answer", [b"Welcome\nsqueue is closed today\n", b"Welcome"])
def test_an_answer_without_json_is_refused_with_its_first_line(answer: bytes) -> None:
    """The error shows a message that a wrapper prints instead of JSON."""
    stream = RecordStream(lambda _record: None)
    stream.feed(answer)

    with pytest.raises(SlurmError, match="Welcome") as caught:
        stream.close()

    assert FailureReason.MALFORMED is caught.value.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795817404", 1795817404),
        ("2026-11-27T22:10:04", 1795817404),
        ("2026-11-27T23:10:04+01:00", 1795817404),
        ("2026-11-27T23:10:04+0100", 1795817404),
        ("2026-11-27T22:10:04Z", 1795817404),
    ],
)
def test_a_time_with_a_zone_is_read_in_its_zone(text: str, expected: int) -> None:
    """A wrapper may set SLURM_TIME_FORMAT; a time without a zone is read as UTC."""
    assert expected == utc_instant(text)
