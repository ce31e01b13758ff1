"""Rows of squeue: free text, wrappers and dates affect at most their own job."""

from __future__ import annotations

import pytest
from recorded_commands import commands, described, expected, ids_of
from recorded_slurm import lookup_lines

from slurm.decode.job_rows import parse_job_list, parse_queue_snapshot
from slurm.decode.squeue_columns import COLUMNS, ParsedRows, parse_job_columns
from slurm.errors import SlurmError
from slurm.process import CommandResult

ALL_COLUMNS = (*COLUMNS, "OverSubscribe", "admin_comment")
ROW = (
    "{job}|{job}|N/A|N/A|N/A|RUNNING|90|100|3700|1:00:00|0|2|{user}|5001|{account}|{partition}"
    "|normal|{reservation}|n1|cpu=2,mem=2000M,node=1,billing=2|OK|{comment}|\n"
)
COMMENT = '[\n  {\n    "name": "hpc-1",\n    "spot": false\n  }\n]'
HEADER = f"{'|'.join(['JOBID', *ALL_COLUMNS[1:]])}|\n"


def row(job: int = 1000, **fields: str) -> str:
    """Return a line of `squeue -O`."""
    usual = {"user": "alice", "account": "k1", "partition": "cpu", "reservation": "(null)"}
    return ROW.format(job=job, **usual | {"comment": "(null)"} | fields)


def parsed(answer: str) -> ParsedRows:
    """Return the parsed rows of an answer of `squeue -O`."""
    return parse_job_columns(answer.encode(), ALL_COLUMNS, cluster="lab")


@pytest.mark.parametrize(
    "comment",
    [
        COMMENT,
        COMMENT.replace("\n", "\r\n"),
        "a\n",
        "\n",
        "a|b",
        "|",
        "|\n",
        "a|\nb",
        "a|\n|b|\n|\nc",
        "1|2|x",
        "1000|1000|\nx",
    ],
)
def test_an_admin_comment_of_several_lines_affects_no_row(comment: str) -> None:
    """A comment with line breaks or `|` is read whole, and so are the rows around it."""
    found = parsed(row(999) + row(1000, comment=comment) + row(1001))

    assert [999, 1000, 1001] == list(found.rows)
    assert (comment.replace("\r\n", "\n"), ("n1",)) == (
        found.rows[1000].admin_comment,
        found.rows[1000].nodes,
    )
    assert {} == found.undecided([999, 1000, 1001, 1002])


@pytest.mark.parametrize(
    "fields",
    [
        {"account": "a|b"},
        {"account": "|"},
        {"partition": "gpu|a100"},
        {"reservation": "maint|1"},
        {"reservation": "cpu=2|x"},
        {"account": "a|b", "partition": "c|d", "comment": "e|f\ng"},
        {"user": "a|b"},
        {"account": "a|b", "comment": COMMENT},
        {"account": "a\nb"},
    ],
)
def test_a_separator_in_a_name_makes_only_its_row_doubtful(fields: dict[str, str]) -> None:
    """`|` in an account shifts the columns: only the job id of its row is used, others are read."""
    found = parsed(row(999) + row(1000, **fields) + row(1001))

    assert [999, 1001] == list(found.rows)
    assert [1000] == list(found.undecided([999, 1000, 1001, 1002]))
    assert "1000|1000|" in found.doubtful[1000]


def test_a_job_with_two_rows_is_doubtful() -> None:
    """A comment may imitate a row of squeue, so neither of the two rows is used."""
    found = parsed(row(999, comment=f"x|\n{row(1000)[:-2]}") + row(1000, user="bob"))

    assert [999] == list(found.rows)
    assert "twice" in found.doubtful[1000]


@pytest.mark.parametrize("old", ["|90|", "|100|"])
def test_a_row_with_a_date_is_doubtful(old: str) -> None:
    """Squeue prints dates without SLURM_TIME_FORMAT; the reason has column and line."""
    date = "|2026-11-27T23:10:04|"
    found = parsed(row(1000).replace(old, date))

    assert {} == found.rows
    assert date in found.doubtful[1000]
    assert "Time: " in found.doubtful[1000]


def test_header_and_carriage_returns_are_ignored() -> None:
    """A wrapper of squeue may lose `-h` or print CRLF line ends; the rows are read."""
    found = parsed((HEADER + row(1000) + row(1001)).replace("\n", "\r\n"))

    assert [1000, 1001] == list(found.rows)
    assert () == found.problems


def test_rows_after_a_banner_are_read_but_can_be_incomplete() -> None:
    """The wrapper's line is shown as a problem; a job that is not listed can still exist."""
    found = parsed("site wrapper 12.34\n" + row(1000))

    assert [1000] == list(found.rows)
    assert ["site wrapper 12.34" in text for text in found.problems] == [True]
    assert [1001] == list(found.undecided([1000, 1001]))


@pytest.mark.parametrize(
    ("answer", "shown"),
    [("site wrapper 12.34\n", "site wrapper 12.34"), (row()[:-2], "1000|1000|"), ("x", "'x'")],
)
def test_answer_without_a_row_is_refused_with_its_line(answer: str, shown: str) -> None:
    """The error shows the text that is no row of squeue, or the row that is truncated."""
    with pytest.raises(SlurmError, match=r"row|truncated") as caught:
        parsed(answer)
    assert shown in str(caught.value)


LINES = (
    "7|7|N/A|RUNNING|100|900|90|1|cpu|alice|k|n1\n8|8|N/A|PENDING|N/A|N/A|90|1|cpu|bob|k|\n"
    "9|9|N/A|RUNNING|101|900|90|1|g|pu|alice|k|a|n[2-3]\n"
)


def test_a_separator_in_an_account_leaves_the_job_list_readable() -> None:
    """Id, state, times and nodes are certain; user, account and partition are unknown."""
    rows = parse_job_list(LINES.encode())
    snapshot = parse_queue_snapshot(LINES.encode())
    odd = snapshot.job(9)

    assert {7: 100, 9: 101} == snapshot.running
    assert odd == rows[2]
    assert odd is not None
    assert ("", "", "", "n[2-3]") == (odd.user, odd.account, odd.partition, odd.nodes)


def test_a_job_list_with_header_and_carriage_returns_is_read() -> None:
    """A wrapper of squeue may lose `-h` or print CRLF line ends; an empty list is valid."""
    header = "JOBID|ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|START_TIME|END_TIME|SUBMIT_TIME|NODES|"
    header += "PARTITION|USER|ACCOUNT|NODELIST\n"
    raw = (header + LINES).replace("\n", "\r\n").encode()

    assert parse_job_list(LINES.encode()) == parse_job_list(raw)
    assert parse_queue_snapshot(LINES.encode()) == parse_queue_snapshot(raw)
    assert () == parse_job_list(b"")


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("7|7", "site wrapper 12.34\n7|7", "site wrapper 12.34"),
        ("|100|", "|2026-11-27T23:10:04|", "2026-11-27T23:10:04"),
        ("|100|", "|N/A|", "7|7|N/A|RUNNING|N/A|"),
        ("|n1\n", "\n", "7|7|N/A|RUNNING|100|900|90|1|cpu|alice|k'"),
        ("8|8|N/A", "x|8|N/A", "x|8|N/A|PENDING"),
        ("|n[2-3]\n", "|n[2-3]", "9|9|N/A|RUNNING"),
    ],
)
def test_an_invalid_job_list_is_refused_with_its_line(old: str, new: str, shown: str) -> None:
    """A job missing in the list counts as ended, so one bad line makes the list invalid."""
    with pytest.raises(SlurmError) as caught:
        parse_queue_snapshot(LINES.replace(old, new, 1).encode())
    assert shown in str(caught.value)


@pytest.mark.parametrize("user", ["nobody", "5001", "(null)", ""])
def test_squeue_placeholders_are_no_user_names(user: str) -> None:
    """For a user such as `nobody`, `5001` or `(null)` only the uid is kept."""
    found = parsed(row(1000, user=user)).rows[1000]

    assert (None, 5001) == (found.user, found.uid)


def test_the_job_of_a_doubtful_row_is_read_from_json() -> None:
    """The account of the job has the separator `|`; the other jobs are read from text."""
    recorded = commands("22.05")
    truth = expected(recorded)
    ids = ids_of(recorded)
    lines = lookup_lines(recorded.situation, "").replace(b"|k2000|", b"|k2|000|")
    recorded.answers[" -O "] = CommandResult((), 0, lines, b"")
    found = recorded.slurm().jobs(ids)

    assert truth == [described(found[job_id]) for job_id in ids]
