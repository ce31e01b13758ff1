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
def test_comment_of_several_lines_affects_no_row(comment: str) -> None:
    """The job itself is read with its whole comment, and so are the jobs around it."""
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
def test_separator_in_a_name_makes_its_own_row_doubtful(fields: dict[str, str]) -> None:
    """Shifted columns are never read; the job id is known, and other jobs are read."""
    found = parsed(row(999) + row(1000, **fields) + row(1001))

    assert [999, 1001] == list(found.rows)
    assert [1000] == list(found.undecided([999, 1000, 1001, 1002]))
    assert "1000|1000|" in found.doubtful[1000]


def test_job_that_is_listed_twice_is_doubtful() -> None:
    """A comment may imitate a row: then none of the two rows is used."""
    found = parsed(row(999, comment=f"x|\n{row(1000)[:-2]}") + row(1000, user="bob"))

    assert [999] == list(found.rows)
    assert "twice" in found.doubtful[1000]


@pytest.mark.parametrize("old", ["|90|", "|100|"])
def test_date_in_a_row_is_shown(old: str) -> None:
    """Without SLURM_TIME_FORMAT the row is doubtful, and the reason has column and line."""
    date = "|2026-11-27T23:10:04|"
    found = parsed(row(1000).replace(old, date))

    assert {} == found.rows
    assert date in found.doubtful[1000]
    assert "Time: " in found.doubtful[1000]


def test_header_and_carriage_returns_are_ignored() -> None:
    """A wrapper may lose `-h` or use line ends of another system."""
    found = parsed((HEADER + row(1000) + row(1001)).replace("\n", "\r\n"))

    assert [1000, 1001] == list(found.rows)
    assert () == found.problems


def test_with_a_banner_rows_are_readable_and_absence_is_undecided() -> None:
    """A line that is no row is shown; a job that is not listed may still exist."""
    found = parsed("site wrapper 12.34\n" + row(1000))

    assert [1000] == list(found.rows)
    assert ["site wrapper 12.34" in text for text in found.problems] == [True]
    assert [1001] == list(found.undecided([1000, 1001]))


@pytest.mark.parametrize(
    ("answer", "shown"),
    [("site wrapper 12.34\n", "site wrapper 12.34"), (row()[:-2], "1000|1000|"), ("x", "'x'")],
)
def test_answer_without_a_row_is_refused_with_its_line(answer: str, shown: str) -> None:
    """Text that is no answer of squeue, or ends inside a row, is shown."""
    with pytest.raises(SlurmError, match=r"row|truncated") as caught:
        parsed(answer)
    assert shown in str(caught.value)


LINES = (
    "7|7|N/A|RUNNING|100|900|90|1|cpu|alice|k|n1\n8|8|N/A|PENDING|N/A|N/A|90|1|cpu|bob|k|\n"
    "9|9|N/A|RUNNING|101|900|90|1|g|pu|alice|k|a|n[2-3]\n"
)


def test_separator_in_an_account_leaves_the_listing_readable() -> None:
    """Id, state, times and nodes are certain; the owner of the job is unknown."""
    rows = parse_job_list(LINES.encode())
    snapshot = parse_queue_snapshot(LINES.encode())
    odd = snapshot.job(9)

    assert {7: 100, 9: 101} == snapshot.running
    assert odd == rows[2]
    assert odd is not None
    assert ("", "", "", "n[2-3]") == (odd.user, odd.account, odd.partition, odd.nodes)


def test_listing_with_header_and_carriage_returns_is_read() -> None:
    """The rules are the same as for a look-up."""
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
def test_invalid_listing_is_refused_with_its_line(old: str, new: str, shown: str) -> None:
    """Jobs missing in a listing count as ended, so one invalid line makes all of it invalid."""
    with pytest.raises(SlurmError) as caught:
        parse_queue_snapshot(LINES.replace(old, new, 1).encode())
    assert shown in str(caught.value)


@pytest.mark.parametrize("user", ["nobody", "5001", "(null)", ""])
def test_squeue_placeholders_are_no_user_names(user: str) -> None:
    """The uid stays; the name can be resolved later."""
    found = parsed(row(1000, user=user)).rows[1000]

    assert (None, 5001) == (found.user, found.uid)


def test_doubtful_row_is_read_from_another_source() -> None:
    """A job whose account has the separator is read from JSON; the others from text."""
    recorded = commands("22.05")
    truth = expected(recorded)
    ids = ids_of(recorded)
    lines = lookup_lines(recorded.situation, "").replace(b"|k2000|", b"|k2|000|")
    recorded.answers[" -O "] = CommandResult((), 0, lines, b"")
    found = recorded.slurm().jobs(ids)

    assert truth == [described(found[job_id]) for job_id in ids]
