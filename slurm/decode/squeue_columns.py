"""Decodes `squeue -j IDS -O ...`: identity, state, times, user and nodes of some jobs.

The last field, the administrator's comment, is free text: it may contain separators and line
breaks. The names of accounts, partitions and reservations may contain them, too. The row of such a
job is read if it is certain, else its id is returned for another source; other rows are not
affected (squeue(1), 21.08 ... 26.05).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from slurm.decode.fields.gres import parse_tres
from slurm.decode.fields.hostlist import expand_hosts
from slurm.decode.fields.job_states import END_STATES, split_state
from slurm.decode.fields.reader import FieldReader
from slurm.decode.fields.scalars import (
    NO_VALUE_WORDS,
    digits,
    epoch_seconds,
    parse_time_limit,
    text,
)
from slurm.decode.fields.sharing import SHARING_WORDS, sharing_from_text
from slurm.decode.fields.user_names import user_and_uid
from slurm.errors import FailureReason, SlurmError, excerpt
from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from slurm.release import ReleaseFeatures


# Texts that people write (an administrator's comment of several lines, a `|` in an account) can
# make the row of their own job unreadable, but never the row of another job.
@light_dataclass
class ParsedRows:
    """The jobs of a text listing.

    `rows` are jobs by id. `doubtful` are the listed jobs whose rows are not certain, by id, each
    with the reason. `problems` are lines that belong to no job: if there is one, a job that is not
    listed may exist nevertheless.
    """

    rows: Mapping[int, Job]
    doubtful: Mapping[int, str]
    problems: tuple[str, ...] = ()

    def undecided(self, wanted: Iterable[int]) -> dict[int, str]:
        """Return the wanted jobs to ask another source about, each with the reason.

        A wanted job that is neither here nor in `rows` is not known to the controller.
        """
        found = {job_id: self.doubtful.get(job_id, "") for job_id in wanted}
        if self.problems:
            found = {job_id: why or self.problems[0] for job_id, why in found.items()}
        return {job_id: why for job_id, why in found.items() if why and job_id not in self.rows}


SEPARATOR = "|"
COLUMNS = (
    "JobID",
    "ArrayJobID",
    "ArrayTaskID",
    "HetJobID",
    "HetJobOffset",
    "State",
    "SubmitTime",
    "StartTime",
    "EndTime",
    "TimeLimit",
    "RestartCnt",
    "NumCPUs",
    "UserName",
    "UserID",
    "Account",
    "Partition",
    "QOS",
    "Reservation",
    "NodeList",
    "tres-alloc",
)
HEADER_WORD = "JOBID"
_LAST = "admin_comment"
_ROW_START = re.compile(r"[0-9]{1,18}\|[0-9]{1,18}\|(?:[^|\n]*\|){3}[A-Z_]+\|")
_TRES = re.compile(r"[\w/:.+-]+=[^,=|]*(?:,[\w/:.+-]+=[^,=|]*)*")


def columns_for(features: ReleaseFeatures) -> tuple[str, ...]:
    """Return the columns to request with `-O` from a squeue that has these features."""
    more = ("SLUID",) if features.has_sluid else ()
    return (*COLUMNS, features.sharing_column, *more, _LAST)


def format_option(columns: tuple[str, ...]) -> str:
    """Return the value for squeue's `-O`: columns without a width, so that none is truncated."""
    return ",".join(f"{column}:{SEPARATOR}" for column in columns)


def parse_job_columns(stdout: bytes, columns: tuple[str, ...], *, cluster: str) -> ParsedRows:
    """Return the jobs of the listing with nodes and CPUs, without cores and GRES.

    Raises:
        SlurmError: the answer is truncated, or has no row of a job.
    """
    answer = stdout.decode("utf-8", "replace").replace("\r\n", "\n")
    if answer and not answer.endswith(f"{SEPARATOR}\n"):
        last = answer.splitlines()[-1]
        message = f"the last line of squeue's output is truncated: {excerpt(last)!r}"
        raise SlurmError(message, reason=FailureReason.INCOMPLETE)
    rows: dict[int, Job] = {}
    doubtful: dict[int, str] = {}
    problems: list[str] = []
    for record in _split_records(answer):
        job_id = digits(record.partition(SEPARATOR)[0]) if _ROW_START.match(record) else None
        if job_id is None:
            problems.append(f"expected a line of squeue's output, got {excerpt(record)!r}")
            continue
        if job_id in rows:
            doubtful[job_id] = f"squeue lists the job twice: {excerpt(record)!r}"
        try:
            rows[job_id] = _job(_fields(record, columns), cluster, job_id)
        except ValueError as error:
            doubtful[job_id] = f"{error}: {excerpt(record)!r}"
    if problems and not rows and not doubtful:
        raise SlurmError(problems[0], reason=FailureReason.MALFORMED)
    rows = {job_id: job for job_id, job in rows.items() if job_id not in doubtful}
    return ParsedRows(rows=rows, doubtful=doubtful, problems=tuple(problems))


def _split_records(answer: str) -> Iterator[str]:
    """Yield the text of each job, and each line before the first one.

    Slurm ends a record with a separator and a line break. Until then, all lines belong to the
    record; after that, a line that does not begin like a row is the rest of a comment that holds
    the same two characters.
    """
    record = ""
    for line in answer.split("\n")[:-1]:
        is_row = _ROW_START.match(line) is not None
        is_open = _ROW_START.match(record) and not record.endswith(SEPARATOR)
        if record and (is_row or not _ROW_START.match(record)) and not is_open:
            yield record
            record = ""
        if not record and line.partition(SEPARATOR)[0].strip() == HEADER_WORD:
            continue
        record = f"{record}\n{line}" if record else line
    if record:
        yield record


def _fields(record: str, columns: tuple[str, ...]) -> dict[str, str]:
    """Return the columns of a record by name.

    The last one is free text and takes the rest. If it has separators or line breaks, they may also
    be part of an account, a partition or a reservation, which moves all columns after it: then
    every column with a fixed form must have that form.

    Raises:
        ValueError: a column is not in its place.
    """
    values = record.removesuffix(SEPARATOR).split(SEPARATOR, len(columns) - 1)
    if len(values) != len(columns):
        raise ValueError(f"a row has {len(values)} fields instead of {len(columns)}")
    field = dict(zip(columns, values, strict=True))
    is_plain = SEPARATOR not in values[-1] and "\n" not in record
    if not is_plain and not _is_aligned(field):
        raise ValueError(f"a column contains {SEPARATOR!r}")
    return field


def _is_aligned(field: Mapping[str, str]) -> bool:
    """Return whether the columns that no user or site names are in their places."""
    tres = field["tres-alloc"]
    sharing = field.get("Exclusive") or field.get("OverSubscribe") or ""
    return (
        "\n" not in "".join([*field.values()][:-1])
        and digits(field["UserID"]) is not None
        and (tres in NO_VALUE_WORDS or _TRES.fullmatch(tres) is not None)
        and sharing in SHARING_WORDS
    )


def _job(field: Mapping[str, str], cluster: str, job_id: int) -> Job:
    """Return the job of a row.

    Raises:
        ValueError: a column, named in the message, cannot be read.
    """
    column = FieldReader(field)
    state, flags = column.read("State", split_state)
    has_run = state != "PENDING"
    is_over = state in END_STATES
    task = field["ArrayTaskID"]
    array = digits(field["ArrayJobID"]) if text(task) else None
    het = digits(field["HetJobID"])
    cpus, gpus = parse_tres(field["tres-alloc"])
    user, uid = user_and_uid(field["UserName"], digits(field["UserID"]))
    return Job(
        job_id=job_id,
        cluster=cluster,
        user=user,
        uid=uid,
        account=text(field["Account"]),
        partition=text(field["Partition"]),
        state=state,
        flags=flags,
        submit_time=column.read("SubmitTime", epoch_seconds),
        start_time=column.read("StartTime", epoch_seconds) if has_run else None,
        end_time=column.read("EndTime", epoch_seconds) if is_over else None,
        time_limit_minutes=parse_time_limit(field["TimeLimit"]),
        nodes=column.read("NodeList", expand_hosts) if has_run else (),
        cpus=(cpus or digits(field["NumCPUs"])) if has_run else None,
        gpus=gpus if has_run else None,
        sharing=sharing_from_text(
            exclusive=field.get("Exclusive"), oversubscribe=field.get("OverSubscribe")
        ),
        array_job_id=array,
        array_task_id=digits(task) if array else None,
        het_job_id=het,
        het_job_offset=digits(field["HetJobOffset"]) if het else None,
        restart_count=digits(field["RestartCnt"]),
        qos=text(field["QOS"]),
        reservation=text(field["Reservation"]),
        admin_comment=text(field[_LAST]),
        sluid=text(field.get("SLUID")),
    )
