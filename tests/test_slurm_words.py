"""Numbers, words and lines of Slurm's output: every form that is read, and what is refused."""

from __future__ import annotations

import re

import pytest

from slurm.decode.fields.gres import parse_tres
from slurm.decode.fields.job_states import split_state
from slurm.decode.fields.scalars import epoch_seconds, number, parse_time_limit, positive, text
from slurm.decode.fields.sharing import sharing_from_cpus, sharing_from_json
from slurm.decode.fields.user_names import user_and_uid
from slurm.decode.hook_facts import parse_hook_facts
from slurm.decode.job_rows import parse_job_list
from slurm.decode.squeue_columns import COLUMNS, parse_job_columns
from slurm.errors import SlurmError
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
        ("7", 7),
        ("7.0", 7),
        ([7], 7),
        ([{"set": True, "infinite": False, "number": "7"}], 7),
        ({"number": 7}, 7),
        ({"set": True, "infinite": True, "number": 0}, None),
        ("UNLIMITED", None),
        ("N/A", None),
    ],
)
def test_json_numbers_are_read_in_every_form(value: object, expected: int | None) -> None:
    """A number may be plain, text, a mapping or in a list; unset and unlimited give None."""
    assert expected == number(value)


@pytest.mark.parametrize(
    "value",
    [True, "x7", [], [7, 8], {}, {"set": True}, "1e3", float("nan"), float("inf"), 1 << 70],
)
def test_a_value_that_is_no_number_is_an_error(value: object) -> None:
    """True, `1e3`, NaN, 2^70 or a list of two, for example, are not accepted as numbers."""
    with pytest.raises(ValueError, match=r"number|range"):
        number(value)


def test_zero_means_a_missing_value() -> None:
    """Slurm prints 0 for a value that does not exist."""
    assert [None, None, 3] == [positive(0), positive(-1), positive(3)]


def test_words_for_a_missing_text_are_none() -> None:
    """(null), N/A and the like are not names; half a surrogate pair is replaced."""
    assert [None] * 5 == [text(word) for word in (None, "", "(null)", "N/A", "None assigned")]
    assert "ü?" == text("ü\udc80")
    with pytest.raises(ValueError, match="string"):
        text(7)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("RUNNING", ("RUNNING", ())),
        ("COMPLETING", (None, ("COMPLETING",))),
        ("SPECIAL_EXIT", ("PENDING", ("SPECIAL_EXIT",))),
        ("REQUEUE_HOLD", ("PENDING", ("REQUEUE_HOLD",))),
        ("RESV_DEL_HOLD", (None, ("RESV_DEL_HOLD",))),
        ("REQUEUED", (None, ("REQUEUED",))),
        ("CANCELLED by 1000", ("CANCELLED", ())),
        (["COMPLETED", "SPECIAL_EXIT"], ("COMPLETED", ("SPECIAL_EXIT",))),
        (["COMPLETING", "SPECIAL_EXIT"], (None, ("COMPLETING", "SPECIAL_EXIT"))),
        (["RUNNING", "CONFIGURING"], ("RUNNING", ("CONFIGURING",))),
        (["PENDING", "UPDATE_DB"], ("PENDING", ("UPDATE_DB",))),
        ("", (None, ())),
    ],
)
def test_state_words_give_state_and_flags(
    value: object, expected: tuple[str | None, tuple[str, ...]]
) -> None:
    """One word is a state or a flag (SPECIAL_EXIT means PENDING, too); a list can have both."""
    assert expected == split_state(value)


@pytest.mark.parametrize("value", [None, 7, [7], {}])
def test_an_invalid_state_is_an_error(value: object) -> None:
    """A state that is neither text nor a list of texts is refused."""
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
def test_time_limits_in_text_are_minutes(value: str, expected: int | None) -> None:
    """`2-03:05:00` is 3065; UNLIMITED, NOT_SET and Partition_Limit give None."""
    assert expected == parse_time_limit(value)


@pytest.mark.parametrize(
    ("tres", "expected"),
    [
        ("cpu=4,mem=4000M,node=2,billing=4,gres/gpu=3,gres/gpu:a100=3", (4, 3)),
        ("billing=2,cpu=2,gres/gpu:a100=2,mem=2000M,node=1", (2, 2)),
        ("cpu=4,mem=32G,node=1,billing=4,gres/gpu:nvidia_geforce_rtx_2080_ti=1", (4, 1)),
        ("cpu=4,gres/gpu:1g.10gb+me=2,gres/gpu:x/y=1,node=1", (4, 3)),
        ("gres/gpu:a100=0,node=1", (None, 0)),
        ("gres/gpu=0,gres/gpu:a100=2,gres/gpu:h100=1", (None, 3)),
        ("gres/gpu=4,gres/gpu:a100=2", (None, 4)),
        ("cpu=2,gres/shard=4,node=1", (2, 1)),
        ("cpu=2,gres/shard:a100=8,node=2", (2, 2)),
        ("cpu=2,gres/mps=1K", (2, 1)),
        ("cpu=2,gres/gpu=1,gres/shard=4,node=3", (2, 1)),
        ("cpu=2,gres/shard=0,node=1", (2, None)),
        ("cpu=1K,gres/gpu=odd", (1024, None)),
        ("gres/shards=3,gres/gpuish:a=2,node=1", (None, None)),
        ("cpu=,gres/gpu", (None, None)),
        ("", (None, None)),
    ],
)
def test_cpus_and_gpus_are_counted_in_tres_text(
    tres: str, expected: tuple[int | None, int | None]
) -> None:
    """GPUs are counted by type if only types are there; shards and MPS are one GPU per node."""
    assert expected == parse_tres(tres)


@pytest.mark.parametrize(
    ("cpus", "node_cpus", "expected"),
    [
        (2, [16], Sharing.SHARED),
        (16, [16], Sharing.NODE),
        (31, [16, 16], Sharing.SHARED),
        (48, [16, 32], Sharing.NODE),
        (2, [16, None], None),
        (2, [], None),
        (None, [16], None),
        (0, [16], None),
    ],
)
def test_sharing_is_derived_from_cpu_counts(
    cpus: int | None, node_cpus: list[int | None], expected: Sharing | None
) -> None:
    """If a job has fewer CPUs than its nodes, they are shared; a missing CPU count gives None."""
    assert expected == sharing_from_cpus(cpus, node_cpus)


@pytest.mark.parametrize(
    ("name", "uid", "expected"),
    [
        ("alice", 20001, ("alice", 20001)),
        ("nobody", 20001, (None, 20001)),
        ("20001", 20001, (None, 20001)),
        ("20001", None, (None, 20001)),
        ("20001", 5001, ("20001", 5001)),
        ("", 20001, (None, 20001)),
        ("root", 0, ("root", 0)),
        ("Alice@EXAMPLE.ORG", 20001, ("Alice@EXAMPLE.ORG", 20001)),
        ("4294967294", 20001, (None, 20001)),
        ("0", None, (None, 0)),
        *(
            (word, 20001, (None, 20001))
            for word in ("(null)", "NOBODY", "Unknown", "[unknown]", "none", "N/A", "null", "*")
        ),
        *(
            (word, 20001, (None, 20001))
            for word in ("nfsnobody", "nouser", "?", "-", "#20001", " ")
        ),
        (None, 20001, (None, 20001)),
        (["alice"], 20001, ("alice", 20001)),
    ],
)
def test_a_placeholder_is_no_user_name(
    name: object, uid: int | None, expected: tuple[str | None, int | None]
) -> None:
    """What Slurm prints for a uid without a name is not a user name; the uid is kept."""
    assert expected == user_and_uid(name, uid)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1795326364", 1795326364), ("0", None), ("4294967294", None)]
    + [("2026-11-27T23:10:04+01:00", 1795817404)]
    + [(word, None) for word in ("Unknown", "None", "N/A", "NONE", "(null)", "")],
)
def test_times_in_text_are_epoch_seconds(value: str, expected: int | None) -> None:
    """Words such as `Unknown` mean that there is no time."""
    assert expected == epoch_seconds(value)


@pytest.mark.parametrize("value", ["2026-11-27T23:10:04", "27 Nov 23:10", "-5", "1" * 19])
def test_dates_are_refused_with_their_text(value: str) -> None:
    """The time zone of a date such as 2026-11-27T23:10:04 is unknown; the error shows it."""
    with pytest.raises(ValueError, match=re.escape(value)):
        epoch_seconds(value)


def test_sharing_of_another_shape_is_an_error() -> None:
    """A mapping instead of words in JSON's `shared` field is refused."""
    with pytest.raises(ValueError, match="sharing"):
        sharing_from_json({"none": True})


def test_an_unreadable_node_list_of_a_hook_gives_no_nodes() -> None:
    """A truncated node list in an event, such as `n[1-`, gives no nodes."""
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
    line = f"{'|'.join(row.values())}|\n".encode()
    return parse_job_columns(line, tuple(row), cluster="lab").rows[7]


def test_a_uid_is_no_user_name() -> None:
    """UserName is the uid: the job has no user; without tres-alloc NumCPUs gives the CPUs."""
    found = looked_up_row()
    assert (None, 5001, 2) == (found.user, found.uid, found.cpus)


@pytest.mark.parametrize(
    "stdout",
    [
        b"7|7",
        b"7|7|\n",
        f"{'|'.join((ROW | {'JobID': 'x'}).values())}|\n".encode(),
    ],
)
def test_a_truncated_or_malformed_squeue_answer_is_refused(stdout: bytes) -> None:
    """A truncated line, a missing field or a bad job id makes the whole answer invalid."""
    with pytest.raises(SlurmError):
        parse_job_columns(stdout, tuple(ROW), cluster="lab")


def test_a_malformed_job_list_is_refused() -> None:
    """A job id that is not a number makes the whole list invalid."""
    with pytest.raises(SlurmError):
        parse_job_list(b"x|7|N/A|RUNNING|1|2|3|1|cpu|alice|k|n1\n")
