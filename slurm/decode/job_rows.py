"""Decodes `squeue -o`: all jobs of the controller, one a line, without free text.

Accounts, partitions and users, which sites name, are the last columns: a `|` in one of them does
not move id, state, times and nodes. A line of any other form makes the complete answer invalid,
because it is unknown which jobs are missing from it (squeue(1), 21.08 ... 26.05).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO

from slurm.decode.fields.hostlist import readable_hosts
from slurm.decode.fields.reader import FieldReader
from slurm.decode.fields.scalars import digits, epoch_seconds
from slurm.errors import FailureReason, SlurmError, shown

# No `C` anywhere: squeue would ask for details (bitmaps and GRES) of all jobs. No job name (`%j`),
# comment (`%k`), command, directory or feature: users could write separators and line breaks.
SQUEUE_FORMAT = "%A|%F|%K|%T|%S|%e|%V|%D|%P|%u|%a|%N"
COLUMNS = (
    *("job_id", "array_job_id", "task", "state", "start", "end", "submit", "node_count"),
    *("partition", "user", "account", "nodes"),
)
HEADER_WORD = b"JOBID|"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqueueRow:
    """One line of the listing of all jobs; `state` is one word, flags hide base states.

    `partition`, `user` and `account` are "" if one of them contains the separator: then they
    cannot be distinguished.
    """

    job_id: int
    array_job_id: int
    state: str
    start_time: int | None
    submit_time: int | None
    end_time: int | None = None  # of a running job: when its limit will end it
    partition: str
    user: str
    account: str
    nodes: str

    @property
    def is_live(self) -> bool:
        """Return whether a run of the job has not ended: it holds nodes and may still compute."""
        return self.state in {"RUNNING", "SUSPENDED", "CONFIGURING", "STOPPED", "SIGNALING"}


def parse_job_list(stdout: bytes) -> tuple[SqueueRow, ...]:
    """Read `squeue -h -t all -o SQUEUE_FORMAT` with epoch times.

    Raises:
        SlurmError: the answer is truncated or has another format.
    """
    return tuple(parse_job_line(line) for line in split_lines(stdout))


def split_lines(stdout: bytes) -> list[bytes]:
    """Return the lines of the listing without a header; the last one must end with a newline.

    Raises:
        SlurmError: the answer is truncated.
    """
    lines = stdout.split(b"\n")
    if lines.pop():
        message = f"the last line of squeue's output is truncated: {shown(stdout.splitlines()[-1])}"
        raise SlurmError(message, reason=FailureReason.INCOMPLETE)
    # Wrappers that run squeue over ssh with a terminal print CRLF.
    if lines and lines[0].endswith(b"\r"):
        lines = [line.removesuffix(b"\r") for line in lines]
    return lines[1:] if lines and lines[0].startswith(HEADER_WORD) else lines


def parse_job_line(line: bytes) -> SqueueRow:
    """Return the job of a line.

    Raises:
        SlurmError: the line has another format; the message shows it.
    """
    values = line.decode("utf-8", "replace").split("|")
    if len(values) < len(COLUMNS):
        message = f"a squeue line has {len(values)} fields instead of {len(COLUMNS)}: {shown(line)}"
        raise SlurmError(message, reason=FailureReason.INCOMPLETE)
    if len(values) > len(COLUMNS):
        # The node list is the last column and never contains the separator, so it can be found from
        # the end.
        values = [*values[:8], "", "", "", values[-1]]
    field = dict(zip(COLUMNS, values, strict=True))
    column = FieldReader(field)
    try:
        return SqueueRow(
            job_id=column.required("job_id", digits),
            array_job_id=column.required("array_job_id", digits),
            state=field["state"],
            # The start of a pending job is an estimate of the scheduler, which changes every
            # minute.
            start_time=None if field["state"] == "PENDING" else column.read("start", epoch_seconds),
            submit_time=column.read("submit", epoch_seconds),
            end_time=column.read("end", epoch_seconds),
            partition=field["partition"],
            user=field["user"],
            account=field["account"],
            nodes=field["nodes"],
        )
    except ValueError as error:
        message = f"a line of squeue cannot be read ({error}): {shown(line)}"
        raise SlurmError(message, reason=FailureReason.MALFORMED) from error


# Made for 100 000 jobs every few minutes: only id, state and start of a line are read at once, and
# only the running jobs are kept; a full `SqueueRow` is made for the few jobs that are needed. Every
# line is checked, so that an answer truncated inside a line is detected. More separators than
# columns come from an account or a partition whose name contains one: these columns are last
# (Slurm 21.08 ... 26.05, squeue(1)).
_SEPARATORS = SQUEUE_FORMAT.count("|")
_SEPARATORS_READ = 5
# COMPLETING is missing on purpose: the run is over, and only its nodes are being cleaned up.
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
    _stdout: bytes = field(repr=False)
    # Made when the first job is asked for: where nothing differs, none is, and an object for each
    # line would take as much memory as all the rest.
    _lines: dict[int, bytes] = field(default_factory=dict, repr=False, compare=False)

    def job(self, job_id: int) -> SqueueRow | None:
        """Return the line of a job; None if the controller does not have it."""
        if not self._lines:
            lines = (line.rstrip(b"\n") for line in BytesIO(self._stdout))
            self._lines.update((int(line.partition(b"|")[0]), line) for line in lines)
        line = self._lines.get(job_id)
        return None if line is None else parse_job_line(line)

    def jobs_by_node(self) -> dict[str, int]:
        """Return how many running jobs, suspended ones too, are on each node.

        A task of an array and a part of a heterogeneous job count as one each.
        """
        expand = lru_cache(maxsize=10_000)(readable_hosts)
        counts: Counter[str] = Counter()
        for line in BytesIO(self._stdout):
            if line.split(b"|", 4)[3] in _RUNNING:
                nodes = line.rstrip(b"\n").rpartition(b"|")[2]
                counts.update(expand(nodes.decode("utf-8", "replace")))
        return counts

    def started_tasks(self, array_job_id: int) -> tuple[int, ...]:
        """Return the job ids of the tasks of an array that have started."""
        mark = b"|%d|" % array_job_id
        # The bytes are searched first, because to parse 100 000 lines takes a second. `mark` may
        # also occur in another column, so the field itself is compared below.
        lines = (line.rstrip(b"\n") for line in BytesIO(self._stdout) if mark in line)
        own = (job for job in map(parse_job_line, lines) if job.array_job_id == array_job_id)
        return tuple(job.job_id for job in own if job.state != "PENDING")


def parse_queue_snapshot(stdout: bytes) -> QueueSnapshot:
    """Read `squeue -h -t all -o SQUEUE_FORMAT` with epoch times.

    Raises:
        SlurmError: the answer is truncated or has another format.
    """
    running: dict[int, int] = {}
    unsettled: set[int] = set()
    plain = _plain_lines(stdout)
    for line in BytesIO(plain):  # one after the other: a list of all would take more than the text
        try:
            # Only five splits: the rest of the line is looked at when its job is needed.
            raw, _, _, state, start, rest = line.split(b"|", _SEPARATORS_READ)
            if state in _RUNNING:
                running[int(raw)] = int(start)
            elif state in _UNSETTLED:
                unsettled.add(int(raw))
        except ValueError as error:
            plain_line = line.rstrip(b"\n")
            parse_job_line(plain_line)  # raises if anything but the start is wrong
            message = f"a running job has no start time: {shown(plain_line)}"
            raise SlurmError(message, reason=FailureReason.MALFORMED) from error
        # `1 | 1 | ...` of a wrapper has spaces
        if rest.count(b"|") < _SEPARATORS - _SEPARATORS_READ or not raw.isdigit():
            parse_job_line(line.rstrip(b"\n"))
    return QueueSnapshot(running, frozenset(unsettled), plain)


def _plain_lines(stdout: bytes) -> bytes:
    """Return the listing without a header and carriage returns.

    Raises:
        SlurmError: the answer is truncated.
    """
    first = stdout.find(b"\n")
    is_plain = stdout.endswith(b"\n") and not stdout.startswith(HEADER_WORD)
    if is_plain and stdout[first - 1 : first] != b"\r":
        return stdout
    return b"".join(b"%b\n" % line for line in split_lines(stdout))
