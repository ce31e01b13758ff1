"""The start times of slurmd show whether slurmctld was reconfigured or restarted."""

from __future__ import annotations

import pytest

from slurm.decode.scontrol_nodes import SlurmdStart, is_reconfigured, parse_slurmd_starts

BOOT = 1_795_832_000
BEFORE = SlurmdStart(BOOT - 90_000, BOOT - 5000)
REPLACED = SlurmdStart(BOOT - 90_000, BOOT + 1)
REBOOTED = SlurmdStart(BOOT - 3, BOOT + 1)
NODES = b"""NodeName=n1 Arch=x86_64 CoresPerSocket=4
   Partitions=cpu,low
   BootTime=2026-11-28T01:12:12 SlurmdStartTime=2026-11-28T02:13:20
   LastBusyTime=2026-11-28T02:13:14 ResumeAfterTime=None

NodeName=n2 CoresPerSocket=4
   BootTime=None SlurmdStartTime=None

NodeName=n3 CoresPerSocket=4
   BootTime=1795828332 SlurmdStartTime=1795832000
"""


def test_slurmd_start_times_of_registered_nodes_are_read() -> None:
    """Times of boot and slurmd are ISO text in UTC or epoch seconds; `None` is skipped."""
    assert list(parse_slurmd_starts(NODES)) == [
        SlurmdStart(1795828332, 1795832000),
        SlurmdStart(1795828332, 1795832000),
    ]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([], False),
        ([BEFORE], False),
        ([REPLACED], True),
        ([SlurmdStart(1, BOOT - 5)], True),
        ([SlurmdStart(1, BOOT - 6)], False),
        ([REBOOTED], False),
        ([REPLACED, BEFORE], False),
        ([REPLACED, REPLACED, BEFORE], True),
    ],
)
def test_a_reconfiguration_restarts_most_slurmd(
    starts: list[SlurmdStart], *, expected: bool
) -> None:
    """A restart of slurmctld does not restart slurmd; a power failure boots the nodes, too."""
    assert is_reconfigured(starts, BOOT) is expected
