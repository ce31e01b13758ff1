"""Numbers, words and lines of Slurm's output: every form that is read, and what is refused."""

from __future__ import annotations

import pytest
from recorded_slurm import Situation

from slurm.decode.fields.scalars import number, parse_time_limit, positive, split_state, text
from slurm.decode.fields.sharing import sharing_from_json
from slurm.decode.fields.tres import parse_tres
from slurm.decode.hook_facts import parse_hook_facts
from slurm.decode.job_rows import SACCT_FIELDS, SACCT_SHARING, parse_job_list, parse_sacct_rows
from slurm.decode.sacct_json import AccountingStream
from slurm.decode.squeue_columns import COLUMNS, parse_job_columns
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job, Sharing


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        ({"set": True, "infinite": False, "number": 7}, 7),
        ({"set": False, "infinite": True, "number": 0}, None),
        ({"set": False, "infinite": False, "number": 0}, None),
        ("Infinity", None),
        (None, None),
        (7.0, 7),
    ],
)
def test_numbers_come_plain_wrapped_or_complex(value: object, expected: int | None) -> None:
    """Every form of a number is read; unset and unlimited are None."""
    assert expected == number(value)


@pytest.mark.parametrize("value", [True, "7", [], float("nan"), float("inf"), 1 << 70])
def test_no_number_is_an_error(value: object) -> None:
    """Something else is not taken for a number."""
    with pytest.raises(ValueError, match=r"number|range"):
        number(value)


def test_zero_means_none() -> None:
    """Slurm writes 0 where there is none of it."""
    assert [None, None, 3] == [positive(0), positive(-1), positive(3)]


def test_texts_for_missing_are_missing() -> None:
    """(null), N/A and the like are no names; half a surrogate pair is no text to be stored."""
    assert [None] * 5 == [text(word) for word in (None, "", "(null)", "N/A", "None assigned")]
    assert "ü?" == text("ü\udc80")
    with pytest.raises(ValueError, match="text"):
        text(7)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("RUNNING", ("RUNNING", ())),
        ("COMPLETING", (None, ("COMPLETING",))),
        ("CANCELLED by 1000", ("CANCELLED", ())),
        (["RUNNING", "CONFIGURING"], ("RUNNING", ("CONFIGURING",))),
        (["PENDING", "UPDATE_DB"], ("PENDING", ("UPDATE_DB",))),
        ("", (None, ())),
    ],
)
def test_state_words(value: object, expected: tuple[str | None, tuple[str, ...]]) -> None:
    """One word hides the base state behind a flag, a list has both."""
    assert expected == split_state(value)


@pytest.mark.parametrize("value", [None, 7, [7], {}])
def test_no_state_is_an_error(value: object) -> None:
    """A state of another shape is not guessed at."""
    with pytest.raises(ValueError, match="state"):
        split_state(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30:00", 30),
        ("1:00:00", 60),
        ("2-03:05:00", 3065),
        ("0:30", 1),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("Partition_Limit", None),
        ("1:2:3:4", None),
    ],
)
def test_time_limits_in_text(value: str, expected: int | None) -> None:
    """Limits are minutes; unlimited, unset and the partition's are None."""
    assert expected == parse_time_limit(value)


def test_counts_in_tres_text() -> None:
    """CPUs and GPUs of all types together are taken, types are not added to them."""
    assert (4, 3) == parse_tres("cpu=4,mem=4000M,node=2,billing=4,gres/gpu=3,gres/gpu:a100=3")
    assert (None, None) == parse_tres("mem=1G,gres/gpu:a100=3")
    assert (None, None) == parse_tres("")


def test_sharing_of_another_shape_is_an_error() -> None:
    """A number where words belong is no sharing."""
    with pytest.raises(ValueError, match="sharing"):
        sharing_from_json({"none": True})


@pytest.mark.parametrize(
    ("cpus_per_node", "expected"),
    [("6,2", 8), ("4(x3),2", 14), ("", None), ("4(x99999999)", None), ("x", None)],
)
def test_cpus_that_a_hook_was_told(cpus_per_node: str, expected: int | None) -> None:
    """Runs of equal nodes are written together; nonsense is nothing."""
    assert expected == parse_hook_facts({"cpus_per_node": cpus_per_node}).cpus


def test_nodes_that_a_hook_was_told_and_cannot_be_read() -> None:
    """A list outside the grammar is missing."""
    assert () == parse_hook_facts({"nodes": "n[1-"}).nodes


ROW = dict.fromkeys(COLUMNS, "N/A") | {
    "JobID": "7",
    "ArrayJobID": "7",
    "State": "RUNNING",
    "UserName": "5001",
    "UserID": "5001",
    "NodeList": "n1",
    "tres-alloc": "",
    "NumCPUs": "2",
    "admin_comment": "(null)",
}


def looked_up_row(**fields: str) -> Job:
    """Return the job of one line of squeue."""
    row = ROW | fields
    return parse_job_columns(f"{'|'.join(row.values())}|\n".encode(), tuple(row), cluster="lab")[7]


def test_user_without_a_name_is_missing() -> None:
    """Squeue prints the uid where there is no name for it; CPUs are counted without TRES too."""
    found = looked_up_row()
    assert (None, 5001, 2) == (found.user, found.uid, found.cpus)


@pytest.mark.parametrize(
    "stdout",
    [
        b"7|7",
        b"7|7|\n",
        f"{'|'.join((ROW | {'JobID': 'x'}).values())}|\n".encode(),
        f"{'|'.join((ROW | {'NodeList': 'n[1'}).values())}|\n".encode(),
        f"{'|'.join(ROW.values())}|\n".encode() * 2,
    ],
)
def test_lookup_that_is_cut_or_odd_is_unknown(stdout: bytes) -> None:
    """A cut line, a line of another form and a job listed twice void the answer."""
    with pytest.raises(SlurmError):
        parse_job_columns(stdout, tuple(ROW), cluster="lab")


SACCT = "lab|7|7_3|alice|5001|k|cpu|RUNNING|1|2|Unknown|60|2|cpu=2|0:0|normal|n1"


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
def test_accounting_that_is_cut_or_odd_is_unknown(line: str, kind: FailureReason) -> None:
    """Rows that are not whole, or of another cluster, void the answer."""
    with pytest.raises(SlurmError) as caught:
        parse_sacct_rows(line.replace("|", "\x1f").encode(), cluster="lab")
    assert kind is caught.value.reason


def test_accounting_names_array_and_het_members() -> None:
    """`12_3` is a task, `12+1` a component, `12` neither."""
    assert 17 == SACCT_FIELDS.count(",") + 1
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


def test_listing_that_is_odd_is_unknown() -> None:
    """A job id that is no number voids the listing."""
    with pytest.raises(SlurmError):
        parse_job_list(b"x|7|N/A|RUNNING|1|2|3|1|cpu|alice|k|n1\n")


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b'"state"', b'"stat_"', FailureReason.MALFORMED),
        (b'"cluster": "lab"', b'"cluster": "other"', FailureReason.WRONG_CLUSTER),
        (b'"job_id": 420', b'"job_id": -420', FailureReason.MALFORMED),
    ],
)
def test_sacct_json_that_is_odd_is_unknown(old: bytes, new: bytes, kind: FailureReason) -> None:
    """A record that is not understood, or another cluster's, voids the answer."""
    stream = AccountingStream(cluster="lab")
    with pytest.raises(SlurmError) as caught:
        stream.feed(Situation("24.11", "gpu-1of4").files["sacct.json"].replace(old, new))
    assert kind is caught.value.reason


def test_sacct_json_of_any_cluster_is_read_where_none_is_named() -> None:
    """Without a name to compare with, every record is taken."""
    stream = AccountingStream()
    stream.feed(Situation("24.11", "gpu-1of4").files["sacct.json"])
    assert ["lab"] == [run.cluster for run in stream.close()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("NODE", Sharing.NODE), ("USER", Sharing.USER), ("NO", Sharing.SHARED), ("", None)],
)
def test_accounting_tells_sharing_in_one_more_field(value: str, expected: Sharing | None) -> None:
    """From 26.05 on Exclusive stands behind the others; without it nothing is told."""
    line = SACCT.replace("|", "\x1f")
    (told,) = parse_sacct_rows(f"{line}\x1f{value}\n".encode())
    (silent,) = parse_sacct_rows(f"{line}\n".encode())

    assert 1 == SACCT_SHARING.count(",")
    assert expected == told.sharing
    assert silent.sharing is None
    with pytest.raises(SlurmError):
        parse_sacct_rows(f"{line}\x1f{value}\n{line}\n".encode())
