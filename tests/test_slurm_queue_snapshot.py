"""The snapshot of all jobs: starts of the running ones at once, other facts on demand."""

from __future__ import annotations

import pytest

from slurm.decode.job_rows import parse_queue_snapshot
from slurm.decode.scontrol_config import AS_OF, config_time, parse_config
from slurm.errors import FailureReason, SlurmError

LINES = (
    b"7|7|N/A|RUNNING|100|900|90|1|cpu|alice|k|n1\n"
    b"8|7|3|SUSPENDED|101|900|90|1|cpu|alice|k|n1\n"
    b"9|9|7|CONFIGURING|102|900|90|1|cpu|alice|k|n1\n"
    b"10|10|N/A|PENDING|N/A|N/A|90|1|cpu|bob|k|\n"
)


def test_a_snapshot_has_running_configuring_and_pending_jobs() -> None:
    """`running` has start times, `unsettled` the configuring job id; jobs are found by id."""
    snapshot = parse_queue_snapshot(LINES)
    found = snapshot.job(10)

    assert {7: 100, 8: 101} == snapshot.running
    assert {9} == snapshot.unsettled
    assert found is not None
    assert ("bob", None) == (found.user, found.start_time)
    assert snapshot.job(11) is None


def test_a_snapshot_has_the_tasks_of_an_array() -> None:
    """A task's line has the array's id; the last task to start has it also as its own id."""
    snapshot = parse_queue_snapshot(LINES)

    assert (7, 8) == snapshot.started_tasks(7)
    assert () == snapshot.started_tasks(10)


@pytest.mark.parametrize(
    ("stdout", "kind"),
    [
        (LINES[:-1], FailureReason.INCOMPLETE),
        (b"7|7|N/A\n", FailureReason.INCOMPLETE),
        (b"x|7|N/A|RUNNING|100|900|90|1|cpu|alice|k|n1\n", FailureReason.MALFORMED),
        (b"7|7|N/A|RUNNING|N/A|900|90|1|cpu|alice|k|n1\n", FailureReason.MALFORMED),
        (
            b"7 | 7 | N/A | RUNNING | 100 | 900 | 90 | 1 | cpu | alice | k | n1\n",
            FailureReason.MALFORMED,
        ),
        (b"Welcome to the cluster\n" + LINES, FailureReason.INCOMPLETE),
    ],
)
def test_a_truncated_or_invalid_job_list_is_refused(stdout: bytes, kind: FailureReason) -> None:
    """One truncated or malformed line, or a wrapper's banner, makes the whole answer invalid."""
    with pytest.raises(SlurmError) as caught:
        parse_queue_snapshot(stdout)
    assert kind is caught.value.reason


CONFIG = "{}\nClusterName = lab\nX[0] = a\nX[1] = b\nY = (null)\n\nSlurmctld(primary) at c is UP\n"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("Configuration data as of 1700000000", 1700000000),
        ("Configuration data as of 2023-11-14T22:13:20", 1700000000),
        ("Configuration data as of Unknown", None),
        ("Configuration", None),
    ],
)
def test_the_time_of_slurms_configuration_is_read(first: str, expected: int | None) -> None:
    """`Configuration data as of` has epoch seconds or ISO 8601 in UTC; otherwise it is None."""
    settings = parse_config(CONFIG.format(first).encode())

    assert expected == config_time(settings, AS_OF)
    assert (("a", "b"), ()) == (settings["X"], settings["Y"])
    assert config_time(settings, "Z") is None


def test_a_truncated_configuration_is_refused() -> None:
    """`scontrol show config` without the state of the controllers at its end is incomplete."""
    with pytest.raises(SlurmError):
        parse_config(CONFIG.encode()[:40])
