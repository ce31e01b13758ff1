"""Text listings without free text: `squeue -o` and `sacct -P`, one job a line.

Neither names a field that users write (names, comments, directories), so a line is a record and a
field is a field. A line with another number of fields, or a last line without its end, is an answer
that was cut (Slurm 21.08 ... 26.05, squeue(1), sacct(1)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slurm.decode.fields.hostlist import HostlistError, expand_hosts
from slurm.decode.fields.scalars import NO_VALUE_WORDS, digits, instant, split_state
from slurm.decode.fields.sharing import sharing_from_text
from slurm.decode.fields.tres import parse_tres
from slurm.errors import FailureReason, SlurmError, excerpt
from slurm.job import Job

SQUEUE_FORMAT = "%A|%F|%K|%T|%S|%e|%V|%D|%P|%u|%a|%N"
SACCT_SEPARATOR = "\x1f"
SACCT_FIELDS = (
    "Cluster,JobIDRaw,JobID,User,UID,Account,Partition,State,Submit,Start,End,TimelimitRaw,"
    "AllocCPUS,AllocTRES,ExitCode,QOS,NodeList"
)
SACCT_SHARING = ",Exclusive"
"""One more field, behind the others, from 26.05 on."""
_DISPLAY = re.compile(r"([0-9]{1,18})(?:([_+])([0-9]{1,18}))?")
_UNFINISHED = frozenset({"PENDING", "RUNNING", "SUSPENDED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SqueueRow:
    """One line of the listing of all jobs; `state` is one word, flags hide base states."""

    job_id: int
    array_job_id: int
    state: str
    start_time: int | None
    submit_time: int | None
    end_time: int | None = None  # of a run that goes on: when its limit will end it
    partition: str
    user: str
    account: str
    nodes: str

    @property
    def is_live(self) -> bool:
        """Tell whether a run of the job is not over: it holds nodes and may still compute."""
        return self.state in {"RUNNING", "SUSPENDED", "CONFIGURING", "STOPPED", "SIGNALING"}


def parse_job_list(stdout: bytes) -> tuple[SqueueRow, ...]:
    """Read `squeue -h -t all -o SQUEUE_FORMAT` with epoch times.

    Raises:
        SlurmError: the answer is cut or not of this form.
    """
    return tuple(_parse_squeue_row(fields) for fields in _split_rows(stdout, "|", 12))


def parse_sacct_rows(stdout: bytes, *, cluster: str | None = None) -> tuple[Job, ...]:
    """Read `sacct -X -P -n -o SACCT_FIELDS` with epoch times, one job a run.

    With SACCT_SHARING behind them each row tells sharing too; all rows have as many fields.

    Args:
        stdout: the answer.
        cluster: Slurm's own name; rows of another one void the answer. None: not checked.

    Raises:
        SlurmError: the answer is cut, not of this form, or another cluster's.
    """
    jobs = []
    count = SACCT_FIELDS.count(",") + 1
    head = stdout.partition(b"\n")[0]
    if head.count(SACCT_SEPARATOR.encode()) == count:
        count += SACCT_SHARING.count(",")
    for fields in _split_rows(stdout, SACCT_SEPARATOR, count):
        if cluster is not None and fields[0] != cluster:
            message = f"sacct answers for cluster {fields[0]!r}, not {cluster!r}"
            raise SlurmError(message, reason=FailureReason.WRONG_CLUSTER)
        jobs.append(_parse_sacct_row(fields))
    return tuple(jobs)


def _split_rows(stdout: bytes, separator: str, count: int) -> Iterator[list[str]]:
    """Yield the fields of each line.

    Raises:
        SlurmError: a line is not whole.
    """
    text = stdout.decode("utf-8", "replace")
    if text and not text.endswith("\n"):
        raise SlurmError("the last line of the answer is cut", reason=FailureReason.INCOMPLETE)
    for line in text.split("\n")[:-1]:
        fields = line.split(separator)
        if len(fields) != count:
            message = f"a line has {len(fields)} fields instead of {count}"
            raise SlurmError(message, reason=FailureReason.INCOMPLETE)
        yield fields


def _parse_squeue_row(fields: list[str]) -> SqueueRow:
    job_id, array, _, state, start, end, submit, _, partition, user, account, nodes = fields
    return SqueueRow(
        job_id=_number(job_id, "job id"),
        array_job_id=_number(array, "array id"),
        state=state,
        start_time=None if state == "PENDING" else _unix_time(start),
        submit_time=_unix_time(submit),
        end_time=_unix_time(end),
        partition=partition,
        user=user,
        account=account,
        nodes=nodes,
    )


def _parse_sacct_row(fields: list[str]) -> Job:
    """Return the run of a row.

    A row without partition was made by a step or an end that came before the message of the start:
    its uid is 0 and its nodes are those of the step (seen in 21.08 ... 24.05).
    """
    cluster, raw, display, user, uid, account, partition, states = fields[:8]
    submit, start, end, limit, cpus, tres, exit_code, qos, nodes, *sharing = fields[8:]
    state, flags = split_state(states)
    array, het, member = _array_and_het(display)
    _, gpus = parse_tres(tres)
    state = flags[0] if flags else state
    is_whole = partition not in NO_VALUE_WORDS
    return Job(
        job_id=_number(raw, "job id"),
        cluster=_optional(cluster),
        user=_optional(user),
        uid=digits(uid) if is_whole else None,
        account=_optional(account),
        partition=_optional(partition),
        state=state,
        submit_time=_unix_time(submit),
        start_time=None if state == "PENDING" else _unix_time(start),
        end_time=None if state in _UNFINISHED else _unix_time(end),
        time_limit_minutes=digits(limit),
        nodes=_nodes(nodes) if is_whole else (),
        cpus=None if state == "PENDING" else digits(cpus) or None,
        gpus=None if state == "PENDING" else gpus,
        sharing=sharing_from_text(exclusive=sharing[0] if sharing else None, oversubscribe=None),
        array_job_id=array,
        array_task_id=member if array else None,
        het_job_id=het,
        het_job_offset=member if het else None,
        qos=_optional(qos),
        exit_code=_optional(exit_code),
    )


def _array_and_het(display: str) -> tuple[int | None, int | None, int | None]:
    """Return array id, het id and the member's number of `12_3`, `12+1`, `12`."""
    found = _DISPLAY.fullmatch(display)
    if found is None or found[2] is None:
        return None, None, None
    owner, member = int(found[1]), int(found[3])
    return (owner, None, member) if found[2] == "_" else (None, owner, member)


def _nodes(text: str) -> tuple[str, ...]:
    if text in NO_VALUE_WORDS:
        return ()
    try:
        return expand_hosts(text)
    except HostlistError as error:
        raise SlurmError(f"node list: {error}", reason=FailureReason.MALFORMED) from error


def _optional(text: str) -> str | None:
    return None if text in NO_VALUE_WORDS else text


def _unix_time(text: str) -> int | None:
    """Return Unix seconds; None for the words that stand for no instant."""
    return instant(digits(text))


def _number(text: str, what: str) -> int:
    found = digits(text)
    if found is None:
        message = f"{what} {excerpt(text)!r} is no number"
        raise SlurmError(message, reason=FailureReason.MALFORMED)
    return found
