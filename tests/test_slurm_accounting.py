"""Rows of sacct: every form that is read, what is refused, and what users cannot forge."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from recorded_commands import DOWN, RecordedCommands, commands

from slurm.decode.sacct_rows import (
    SACCT_FIELDS,
    SACCT_SEPARATOR,
    SACCT_SHARING,
    new_separator,
    parse_sacct_rows,
)
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job, Sharing
from slurm.process import CommandResult

COMMENT = '[\n  {\n    "name": "hpc-1",\n    "spot": false\n  }\n]'


def accounted(separator: str = SACCT_SEPARATOR, **fields: str) -> str:
    """Return a row of sacct."""
    usual = dict.fromkeys(SACCT_FIELDS.split(","), "") | {
        "Cluster": "lab",
        "JobIDRaw": "7",
        "JobID": "7",
        "User": "alice",
        "UID": "5001",
        "Partition": "cpu",
        "State": "COMPLETED",
        "Start": "100",
        "End": "200",
        "AllocCPUS": "2",
        "JobName": "train",
        "NodeList": "n1",
    }
    return separator.join((usual | fields).values()) + "\n"


@pytest.mark.parametrize(
    "words",
    ["a\nb", "\n", "a|b", "x\r\ny", "lab\n", COMMENT, "a\x1fb", f"x\n{accounted(JobIDRaw='815')}y"],
)
@pytest.mark.parametrize("field", ["JobName", "AdminComment", "Comment"])
def test_free_text_of_accounting_stays_in_its_field(field: str, words: str) -> None:
    """Users do not know the separator, so their text cannot add a row."""
    separator = new_separator()
    answer = accounted(separator, JobIDRaw="6") + accounted(separator, **{field: words})
    runs = parse_sacct_rows((answer + accounted(separator)).encode(), separator=separator)

    assert [6, 7, 7] == [run.job_id for run in runs]
    assert words.replace("\r\n", "\n") in {runs[1].name, runs[1].admin_comment, runs[1].comment}
    assert ("train", ("n1",)) == (runs[2].name, runs[1].nodes)


def test_sacct_separators_are_unique() -> None:
    """A separator that was seen in the process list cannot be used again."""
    assert 100 == len({new_separator() for _ in range(100)})


def test_flags_of_an_opted_out_job_are_read_from_accounting() -> None:
    """AdminComment and Comment are distinguished, and the name is that of the job."""
    answer = accounted(AdminComment="disable_cc_submission", Comment="mine")
    (run,) = parse_sacct_rows(answer.encode())

    assert ("disable_cc_submission", "mine", "train") == (run.admin_comment, run.comment, run.name)


def test_accounting_with_header_and_carriage_returns_is_read() -> None:
    """A header line, carriage returns and an empty answer are accepted, as from squeue."""
    header = SACCT_SEPARATOR.join(SACCT_FIELDS.split(",")) + "\n"
    raw = (header + accounted() + accounted()).replace("\n", "\r\n").encode()

    assert 2 == len(parse_sacct_rows(raw))
    assert () == parse_sacct_rows(header.encode())
    assert () == parse_sacct_rows(b"")


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("site wrapper 12.34\n", "site wrapper 12.34"),
        ("site wrapper 12.34\n" + accounted(), "site wrapper 12.34"),
        (accounted() + "bye\n", "bye"),
        (accounted() + "bye\n" + accounted(), "bye"),
        (accounted() + accounted()[:-4] + "\n", "lab|7"),
        (accounted()[:-1], "lab"),
        (
            accounted(Start="2026-11-27T23:10:04"),
            "Start: expected a time in epoch seconds, got '2026-11-27T23:10:04'",
        ),
        (accounted(NodeList="n[1-"), "NodeList: "),
        (accounted(JobIDRaw="x"), "JobIDRaw: "),
    ],
)
def test_invalid_accounting_is_refused_with_its_line(answer: str, shown: str) -> None:
    """The message shows the line that is no row, or the name of the unreadable field."""
    with pytest.raises(SlurmError) as caught:
        parse_sacct_rows(answer.encode())
    assert shown in str(caught.value)
    assert caught.value.reason in {FailureReason.INCOMPLETE, FailureReason.MALFORMED}


@pytest.mark.parametrize(
    ("user", "uid", "expected"),
    [("nobody", "20001", (None, 20001)), ("", "20001", (None, 20001)), ("ann", "", ("ann", None))],
)
def test_accounting_placeholders_are_no_user_names(
    user: str, uid: str, expected: tuple[str | None, int | None]
) -> None:
    """A row with a placeholder still has its uid."""
    (run,) = parse_sacct_rows(accounted(User=user, UID=uid).encode())

    assert expected == (run.user, run.uid)


SACCT = "lab|7|7_3|alice|5001|k|cpu|RUNNING|1|2|Unknown|60|2|cpu=2|0:0|normal|job|||n1"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (SACCT, FailureReason.INCOMPLETE),
        (SACCT + "|x|y\n", FailureReason.INCOMPLETE),
        (SACCT.replace("lab", "other") + "\n", FailureReason.WRONG_CLUSTER),
        (SACCT.replace("|7|", "|x|") + "\n", FailureReason.MALFORMED),
        (SACCT.replace("|n1", "|n[1") + "\n", FailureReason.MALFORMED),
    ],
)
def test_an_invalid_sacct_answer_is_refused(line: str, kind: FailureReason) -> None:
    """One incomplete or invalid row, or a row of another cluster, makes the answer invalid."""
    with pytest.raises(SlurmError) as caught:
        parse_sacct_rows(line.replace("|", "\x1f").encode(), cluster="lab")
    assert kind is caught.value.reason


def test_accounting_names_array_and_het_members() -> None:
    """A JobID `12_3` of sacct is an array task, `12+1` a het job component, and `12` is neither."""
    assert 20 == SACCT_FIELDS.count(",") + 1
    found = [
        parse_sacct_rows(SACCT.replace("7_3", word).replace("|", "\x1f").encode() + b"\n")[0]
        for word in ("12_3", "12+1", "12")
    ]
    assert [(12, 3), (None, None), (None, None)] == [
        (j.array_job_id, j.array_task_id) for j in found
    ]
    assert [(None, None), (12, 1), (None, None)] == [
        (j.het_job_id, j.het_job_offset) for j in found
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("NODE", Sharing.NODE), ("USER", Sharing.USER), ("NO", Sharing.SHARED), ("", None)],
)
def test_accounting_has_node_sharing_in_an_extra_field(
    value: str, expected: Sharing | None
) -> None:
    """From 26.05 on Exclusive is the last field; without it the node sharing is unknown."""
    line = SACCT.replace("|", "\x1f")
    fields = SACCT_FIELDS + SACCT_SHARING
    (reported,) = parse_sacct_rows(f"{line}\x1f{value}\n".encode(), fields=fields)
    (silent,) = parse_sacct_rows(f"{line}\n".encode())

    assert 1 == SACCT_SHARING.count(",")
    assert expected == reported.sharing
    assert silent.sharing is None
    with pytest.raises(SlurmError):
        parse_sacct_rows(f"{line}\x1f{value}\n{line}\n".encode(), fields=fields)


def test_node_sharing_is_unknown_without_scontrol() -> None:
    """If `scontrol show node` fails, the runs from accounting lack only the node sharing."""
    recorded = commands("24.11", "preempted-requeued", "ended")
    recorded.answers["show node"] = DOWN
    runs = recorded.slurm().ended(since=0, until=1700000009)

    assert runs
    assert {None} == {run.sharing for run in runs}


def test_node_sharing_is_unknown_with_outdated_nodes() -> None:
    """`scontrol show node` was read over 10 minutes ago: nodes may have other CPUs by now."""
    recorded = commands("24.11", "preempted-requeued", "ended")
    slurm = recorded.slurm()
    before = slurm.ended(since=0, until=1700000009)
    recorded.time += 601
    recorded.answers["show node"] = DOWN
    after = slurm.ended(since=0, until=1700000009)

    assert None not in {run.sharing for run in before}
    assert {None} == {run.sharing for run in after}


# Recorded with 24.11.5 and 26.05.5: a job of scrontab whose node's prolog failed, one that was
# requeued by hand, and one that ended by itself. Each row of the job has 0:0.
CANCELLED = "1000|REQUEUED|1795862940\n1000.batch|CANCELLED|1795862940\n"
COMPLETED = "1000|REQUEUED|1795862940\n1000.batch|COMPLETED|1795862941\n"


def requeued_run(steps: CommandResult, **fields: str) -> tuple[RecordedCommands, Job]:
    """Return the commands, and the run of a job whose steps sacct prints as `steps`."""
    recorded = commands("24.11")
    row = {"JobIDRaw": "1000", "State": "REQUEUED", "Start": "1795862940", "ExitCode": "0:0"}

    def answer(argv: Sequence[str], _seconds: float, usual: CommandResult) -> CommandResult:
        if "sacct" not in argv[0]:
            return usual
        if "-X" not in argv:
            return steps
        separator = next(word for word in argv if word.startswith("--delimiter="))[12:]
        return CommandResult((), 0, accounted(separator, **(row | fields)).encode(), b"")

    recorded.alter = answer
    (found,) = recorded.slurm().accounting([1000], since=1, until=2**31)
    return recorded, found


@pytest.mark.parametrize(
    ("steps", "exit_code"),
    [
        (CommandResult((), 0, CANCELLED.encode(), b""), None),
        (CommandResult((), 0, COMPLETED.encode(), b""), "0:0"),
        (CommandResult((), 0, CANCELLED.replace("940", "100").encode(), b""), "0:0"),
        (CommandResult((), 0, b"1000.batch|CANCELLED|1795", b""), "0:0"),
        (CommandResult((), 0, b"Welcome\n1000.batch|CANCELLED|Unknown\n", b""), "0:0"),
        (CommandResult((), 0, b"", b""), "0:0"),
        (DOWN, "0:0"),
    ],
)
def test_an_interrupted_run_that_was_requeued_has_no_exit_code(
    steps: CommandResult, exit_code: str | None
) -> None:
    """The batch step of the same start was cancelled; without that step the exit code is kept."""
    assert exit_code == requeued_run(steps)[1].exit_code


def test_job_steps_are_queried_only_for_requeued_runs() -> None:
    """Accounting has the true end of any other run, so that one call of sacct is enough."""
    steps = CommandResult((), 0, CANCELLED.encode(), b"")
    asked = [requeued_run(steps, **fields)[0].asked for fields in ({}, {"State": "COMPLETED"})]

    assert [2, 1] == [sum(line.startswith("sacct") for line in lines) for lines in asked]
