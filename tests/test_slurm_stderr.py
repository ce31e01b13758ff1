"""Error lines on stderr: harmless with a complete answer, otherwise the reason to refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from recorded_commands import (
    COMMANDS,
    SQUEUE,
    RecordedCommands,
    commands,
    described,
    expected,
    ids_of,
)
from recorded_slurm import SERIES

from slurm.client import Slurm
from slurm.commands import SlurmCommands
from slurm.error_lines import MAX_LINES, ErrorLines
from slurm.errors import FailureReason, SlurmError, UnknownJob
from slurm.process import CommandResult

CPUS = (
    b"error: NodeNames=n2cn[001-004] CPUs=13 match no Sockets, Sockets*CoresPerSocket or "
    b"Sockets*CoresPerSocket*ThreadsPerCore. Resetting CPUs."
)
MUNGE = b"error: If munged is up, restart with --num-threads=10"
GONE = b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
EMPTY = CommandResult((), 0, b"", b"")


def complain(recorded: RecordedCommands, *lines: bytes) -> RecordedCommands:
    """Let every command print error lines on stderr, each after the command's name."""

    def alter(argv: Sequence[str], _seconds: float, answer: CommandResult) -> CommandResult:
        name = argv[0].rpartition("/")[2].encode()
        said = b"".join(name + b": " + line + b"\n" for line in lines)
        return replace(answer, stderr=said + answer.stderr)

    recorded.alter = alter
    return recorded


@pytest.mark.parametrize("series", SERIES)
def test_jobs_are_found_beside_a_harmless_error(series: str) -> None:
    """Every command prints an error line, exits with 0 and gives a complete answer."""
    recorded = complain(commands(series, "many-states"), CPUS)
    usual = commands(series, "many-states").slurm().jobs(ids_of(recorded))

    assert usual == recorded.slurm().jobs(ids_of(recorded))


@pytest.mark.parametrize(
    "ask",
    [
        Slurm.config,
        Slurm.listing,
        Slurm.queue_snapshot,
        Slurm.version,
        Slurm.ping,
        lambda slurm: slurm.ended(since=1, until=2),
        lambda slurm: slurm.description(4201001),
    ],
)
def test_every_answer_is_accepted_beside_a_harmless_error(ask: Callable[[Slurm], object]) -> None:
    """Configuration, job list, version and ping are the same as without the error line."""
    usual = ask(commands("26.05").slurm())

    assert usual == ask(complain(commands("26.05"), CPUS, MUNGE).slurm())


def test_a_harmless_error_is_logged_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    """Several commands print the same error line; the warnings have it once."""
    recorded = complain(commands("24.11"), CPUS)
    slurm = recorded.slurm()
    slurm.jobs(ids_of(recorded))
    slurm.listing()
    (line,) = slurm.warnings()
    logged = [caplog.text.count("Resetting CPUs")]
    recorded.time += 3601
    slurm.listing()

    assert CPUS.decode() in line
    assert [1, 2] == [*logged, caplog.text.count("Resetting CPUs")]


def test_error_lines_that_differ_only_in_numbers_count_as_one() -> None:
    """The numbers are process ids and times, for example."""
    recorded = complain(commands("24.11"), b"error: attempt 1", b"error: attempt 2", MUNGE)
    slurm = recorded.slurm()
    slurm.version()

    assert 2 == len(slurm.warnings())


def test_the_warning_ends_when_the_error_line_is_gone() -> None:
    """The next answer of the same command without the error line removes the warning."""
    recorded = complain(commands("24.11"), CPUS)
    slurm = recorded.slurm()
    slurm.listing()
    recorded.alter = None
    slurm.listing()

    assert () == slurm.warnings()


def test_a_truncated_job_list_beside_a_harmless_error_is_refused() -> None:
    """The message says that the answer is truncated, and what was on stderr."""
    recorded = commands("24.11")
    complain(recorded, CPUS)
    whole = recorded.slurm().listing
    assert whole()
    listing = b"".join(b"%d|%d|N/A|RUNNING|1|2|1|1|p|u|a|n1\n" % (i, i) for i in range(9))
    recorded.answers["-o"] = CommandResult((), 0, listing[:-3], b"")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm().listing()

    assert FailureReason.INCOMPLETE is caught.value.reason
    assert "is truncated" in str(caught.value)
    assert "Resetting CPUs" in str(caught.value)


def test_the_error_of_an_unreadable_answer_shows_stderr() -> None:
    """The line on stderr may be the reason why the answer cannot be read."""
    recorded = complain(commands("24.11"), b"error: half of the plugins are missing")
    recorded.answers["-o"] = CommandResult((), 0, b"1|2\n", b"")
    with pytest.raises(SlurmError, match="half of the plugins") as caught:
        recorded.slurm().listing()

    assert "fields instead of" in str(caught.value)


def test_truncated_json_beside_a_harmless_error_is_replaced_by_text() -> None:
    """The client asks for text, as it does without the error line."""
    recorded = complain(commands("24.11"), CPUS)
    document = recorded.situation.files["squeue.json"]
    recorded.answers["--json"] = CommandResult((), 0, document[: len(document) // 2], b"")
    found = recorded.slurm().jobs(ids_of(recorded))

    assert expected(recorded) == [described(found[job_id]) for job_id in ids_of(recorded)]


def test_an_empty_job_list_beside_an_error_of_every_command_is_valid() -> None:
    """`squeue --version` prints the same error line, so it is harmless: there is no job."""
    recorded = complain(commands("24.11"), CPUS)
    recorded.answers["-o"] = EMPTY

    assert () == recorded.slurm().listing()
    assert ["squeue --version"] == [line for line in recorded.asked if "--version" in line]


def test_an_empty_job_list_beside_an_earlier_error_is_valid() -> None:
    """The error line came with a complete answer before: it is harmless, no version query runs."""
    recorded = complain(commands("24.11"), CPUS)
    slurm = recorded.slurm()
    slurm.listing()
    recorded.answers["-o"] = EMPTY
    recorded.asked.clear()

    assert () == slurm.listing()
    assert 1 == len(recorded.asked)


def test_an_empty_job_list_beside_a_new_error_is_refused() -> None:
    """The message has the new error line, not the harmless one of earlier answers."""
    recorded = complain(commands("24.11"), CPUS)
    slurm = recorded.slurm()
    slurm.listing()
    recorded.answers["-o"] = CommandResult((), 0, b"", b"squeue: error: no memory\n")
    with pytest.raises(SlurmError, match="no memory") as caught:
        slurm.listing()

    assert "Resetting" not in str(caught.value)


def test_an_empty_job_list_is_refused_if_the_version_query_fails() -> None:
    """Without the version query it is unknown whether the error line is harmless."""
    recorded = complain(commands("24.11"), CPUS)
    recorded.answers |= {"-o": EMPTY, "--version": CommandResult((), 1, b"", b"")}
    with pytest.raises(SlurmError, match="Resetting CPUs"):
        recorded.slurm().listing()


def test_a_failed_connection_is_never_harmless() -> None:
    """An empty list with `Connection refused` is refused, even if a full list had the same line."""
    recorded = complain(commands("24.11"), b"error: slurm_x: Connection refused")
    slurm = recorded.slurm()
    assert slurm.listing()
    recorded.answers["-o"] = EMPTY
    with pytest.raises(SlurmError) as caught:
        slurm.listing()

    assert FailureReason.UNREACHABLE is caught.value.reason


@pytest.mark.parametrize(
    "stderr",
    [
        GONE,
        b"sacct: error: Problem talking to the database: Connection refused\n",
        b"squeue: fatal: Could not establish a configuration source\n",
        b"squeue: " + CPUS + b"\n" + GONE,
    ],
)
def test_a_failed_query_with_exit_status_0_is_refused(stderr: bytes) -> None:
    """Some commands of Slurm exit with 0 after a failure; the message begins with the reason."""
    recorded = commands("24.11")
    (line,) = stderr.splitlines()[-1:]

    def alter(_argv: Sequence[str], _seconds: float, answer: CommandResult) -> CommandResult:
        return replace(answer, stderr=stderr)

    recorded.alter = alter
    with pytest.raises(SlurmError) as caught:
        recorded.slurm().listing()

    assert f"{SQUEUE} exited with 0: {line.decode()}"[:190] == str(caught.value)[:190]


def test_the_message_of_a_failure_has_no_harmless_lines() -> None:
    """An error line that comes with every command does not explain the failure."""
    recorded = complain(commands("24.11"), CPUS)
    slurm = recorded.slurm()
    slurm.version()
    recorded.answers["-o"] = CommandResult((), 1, b"", b"squeue: error: Invalid user: ada\n")
    with pytest.raises(SlurmError) as caught:
        slurm.listing()

    assert str(caught.value) == f"{SQUEUE} exited with 1: squeue: error: Invalid user: ada"


def test_a_failure_without_stderr_shows_stdout() -> None:
    """A wrapper may print its error to stdout; the message has its first line."""
    recorded = commands("24.11")
    recorded.answers["-o"] = CommandResult((), 1, b"license expired\nsee wiki\n", b"")
    with pytest.raises(SlurmError, match=r"exited with 1: license expired$"):
        recorded.slurm().listing()


@pytest.mark.parametrize(
    ("status", "words"),
    [(-9, "-9 (SIGKILL)"), (139, "139 (SIGSEGV)"), (1, "1"), (255, "255"), (128, "128")],
)
def test_the_signal_that_ended_a_command_is_named(status: int, words: str) -> None:
    """A wrapper's shell shows the signal as an exit status above 128."""
    recorded = commands("24.11")
    recorded.answers["-o"] = CommandResult((), status, b"", b"")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm().listing()

    assert f"{SQUEUE} exited with {words}" == str(caught.value)


def test_an_unknown_job_is_recognized_beside_a_harmless_error() -> None:
    """An unknown job id gives no job and no SlurmError although stderr also has a harmless line."""
    recorded = complain(commands("24.11"), CPUS)

    assert {} == recorded.slurm().jobs([7])


def test_an_unknown_job_id_does_not_hide_the_other_jobs() -> None:
    """Squeue prints `Invalid job id specified` together with the records of the other jobs."""
    answer = CommandResult((SQUEUE,), 0, b"1 2 3\n", b"squeue: error: Invalid job id specified\n")
    read = SlurmCommands(COMMANDS, lambda *_args, **_how: answer)

    assert b"1 2 3\n" == read.run([SQUEUE]).stdout
    with pytest.raises(UnknownJob):
        SlurmCommands(COMMANDS, lambda *_args, **_how: replace(answer, stdout=b"")).run([SQUEUE])


def test_text_beside_an_error_must_end_with_a_newline() -> None:
    """An answer truncated inside a line is refused before it is parsed."""
    answer = CommandResult((SQUEUE,), 0, b"1 2 3", b"squeue: " + CPUS)
    with pytest.raises(SlurmError, match="is truncated") as caught:
        SlurmCommands(COMMANDS, lambda *_args, **_how: answer).run([SQUEUE])

    assert FailureReason.INCOMPLETE is caught.value.reason


def test_the_memory_for_error_lines_is_bounded() -> None:
    """A command that prints a new error line each time does not fill the memory."""
    lines = ErrorLines(lambda: 0.0)
    for number in range(3000):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        lines.record("squeue", f"squeue: error: {word}\n".encode())
    many = b"".join(b"error %c\n" % (97 + number % 26) for number in range(500))
    lines.record("squeue", many)

    assert () == lines.unknown(many)
    assert MAX_LINES == len(lines.current())
