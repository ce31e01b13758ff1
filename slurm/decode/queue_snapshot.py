"""All jobs of the controller in compact form: start times by id, a line of text for the rest.

Made for 100 000 jobs every few minutes: only id, state and start of a line are read at once; a full
`SqueueRow` is made for the few jobs that are needed. Every line is checked, so that an answer
truncated inside a line is detected. More separators than columns come from an account or a
partition whose name contains one: these columns are last (Slurm 21.08 ... 26.05, squeue(1)).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from slurm.decode.fields.hostlist import HostlistError, expand_hosts
from slurm.decode.job_rows import SQUEUE_FORMAT, SqueueRow, parse_job_line, shown, split_lines
from slurm.errors import FailureReason, SlurmError

_SEPARATORS = SQUEUE_FORMAT.count("|")
_RUNNING = frozenset({b"RUNNING", b"SUSPENDED", b"STOPPED", b"SIGNALING"})
_UNSETTLED = frozenset({b"CONFIGURING", b"POWER_UP_NODE", b"RESIZING"})


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """The jobs of the controller at one time.

    `running` are start times of the running jobs, by job id. `unsettled` are job ids with nodes
    whose run has neither started nor ended (CONFIGURING, RESIZING): they are checked again later.
    """

    running: Mapping[int, int]
    unsettled: frozenset[int]
    _lines: Mapping[int, bytes] = field(repr=False)

    def __len__(self) -> int:
        return len(self._lines)

    def job(self, job_id: int) -> SqueueRow | None:
        """Return the line of a job; None if the controller does not have it."""
        line = self._lines.get(job_id)
        return None if line is None else parse_job_line(line)

    def jobs_by_node(self) -> dict[str, int]:
        """Return how many running jobs, suspended ones too, are on each node.

        A task of an array and a part of a heterogeneous job count as one each.
        """
        expand = lru_cache(maxsize=10_000)(_hosts)
        counts: Counter[str] = Counter()
        for job_id in self.running:
            counts.update(expand(self._lines[job_id].rpartition(b"|")[2]))
        return counts

    def started_tasks(self, array_job_id: int) -> tuple[int, ...]:
        """Return the job ids of the tasks of an array that have started."""
        mark = b"|%d|" % array_job_id
        jobs = [self.job(i) for i, line in self._lines.items() if mark in line]
        own = (job for job in jobs if job is not None and job.array_job_id == array_job_id)
        return tuple(job.job_id for job in own if job.state != "PENDING")


def _hosts(text: bytes) -> tuple[str, ...]:
    """Return the nodes of a job; none if the text cannot be read."""
    try:
        return expand_hosts(text.decode("utf-8", "replace"))
    except HostlistError:
        return ()


def parse_queue_snapshot(stdout: bytes) -> QueueSnapshot:
    """Read `squeue -h -t all -o SQUEUE_FORMAT` with epoch times.

    Raises:
        SlurmError: the answer is truncated or has another format.
    """
    running: dict[int, int] = {}
    unsettled: set[int] = set()
    lines: dict[int, bytes] = {}
    for line in split_lines(stdout):
        try:
            raw, _, _, state, start, _ = line.split(b"|", 5)
            job_id = int(raw)
            if state in _RUNNING:
                running[job_id] = int(start)
        except ValueError as error:
            parse_job_line(line)  # raises if anything but the start is wrong
            message = f"a running job has no start time: {shown(line)}"
            raise SlurmError(message, reason=FailureReason.MALFORMED) from error
        if line.count(b"|") < _SEPARATORS:
            parse_job_line(line)
        if state in _UNSETTLED:
            unsettled.add(job_id)
        lines[job_id] = line
    return QueueSnapshot(running, frozenset(unsettled), lines)
