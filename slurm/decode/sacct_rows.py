"""Decodes `sacct -P`: runs of jobs from accounting, one a row.

Names and comments are free text, in which users may write line breaks, `|` and control characters
(sacct neither truncates nor escapes, sacct(1), 21.08 ... 26.05). So the separator is a random word
that no user can know before the call, and the first and last fields of a row are not free text: a
line break ends a row only after the expected number of fields.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from slurm.decode.fields.gres import parse_tres
from slurm.decode.fields.hostlist import expand_hosts
from slurm.decode.fields.job_states import split_state
from slurm.decode.fields.reader import FieldReader
from slurm.decode.fields.scalars import NO_VALUE_WORDS, digits, epoch_seconds, text
from slurm.decode.fields.sharing import sharing_from_text
from slurm.decode.fields.user_names import user_and_uid
from slurm.errors import FailureReason, SlurmError, excerpt, wrong_cluster
from slurm.job import Job

SACCT_SEPARATOR = "\x1f"
"""The first and last character of a separator; used alone in answers made for tests."""
# Text in every release: the JSON of 21.08, and of 22.05 before 22.05.8, has the eligible time as
# start; up to 23.02 it has the exit code 0 for every normal exit.
SACCT_FIELDS = (
    "Cluster,JobIDRaw,JobID,User,UID,Account,Partition,State,Submit,Start,End,TimelimitRaw,"
    "AllocCPUS,AllocTRES,ExitCode,QOS,JobName,AdminComment,Comment,NodeList"
)
SACCT_SHARING = ",Exclusive"
"""One more field, after the others, from 26.05 on."""
_RANDOM_BYTES = 4
_DISPLAY = re.compile(r"([0-9]{1,18})(?:([_+])([0-9]{1,18}))?")
BATCH_STEP_FIELDS = "JobIDRaw,State,Start"
_BATCH_STEP = re.compile(r"^([0-9]{1,18})\.batch\|([A-Z_]+)[^|\n]*\|([0-9]{1,18})$", re.MULTILINE)
_UNFINISHED = frozenset({"PENDING", "RUNNING", "SUSPENDED"})


def new_separator() -> str:
    """Return a separator for one call, which no user can have written into a job's name."""
    return f"{SACCT_SEPARATOR}{os.urandom(_RANDOM_BYTES).hex()}{SACCT_SEPARATOR}"


def parse_sacct_rows(
    stdout: bytes,
    *,
    fields: str = SACCT_FIELDS,
    separator: str = SACCT_SEPARATOR,
    cluster: str | None = None,
) -> tuple[Job, ...]:
    """Return the runs in the output of `sacct -X -P -n` with epoch times, one `Job` per run.

    Args:
        stdout: the answer.
        fields: the value of `-o`: SACCT_FIELDS, with or without SACCT_SHARING.
        separator: the value of `--delimiter`.
        cluster: Slurm's own name; a row of another cluster is an error. None: not checked.

    Raises:
        SlurmError: the answer is truncated, has another format, or is of another cluster.
    """
    names = fields.split(",")
    jobs = []
    for values in _split_rows(stdout, names, separator):
        field = dict(zip(names, values, strict=True))
        if cluster is not None and field["Cluster"] != cluster:
            raise wrong_cluster("sacct", field["Cluster"], cluster)
        try:
            jobs.append(_parse_row(field))
        except ValueError as error:
            row = excerpt("|".join(values))
            message = f"a line of sacct cannot be read ({error}): {row!r}"
            raise SlurmError(message, reason=FailureReason.MALFORMED) from error
    return tuple(jobs)


def _split_rows(stdout: bytes, names: Sequence[str], separator: str) -> Iterator[list[str]]:
    """Yield the fields of each row, but not those of a header.

    Raises:
        SlurmError: a row does not end where it should.
    """
    answer = stdout.decode("utf-8", "replace").replace("\r\n", "\n")
    if not answer:
        return
    if not answer.endswith("\n"):
        last = answer.splitlines()[-1]
        message = f"the last line of sacct's output is truncated: {excerpt(last)!r}"
        raise SlurmError(message, reason=FailureReason.INCOMPLETE)
    pieces = answer.removesuffix("\n").split(separator)
    width = len(names) - 1
    first = pieces[0]
    # The last field of a row and the first of the next are in one piece, with the line break
    # between them: so a row is `width` pieces long, one less than it has fields.
    for place in range(1, max(2, len(pieces)), width):
        values = [first, *pieces[place : place + width]]
        is_last = place + width >= len(pieces)
        values[-1], line_break, first = values[-1].partition("\n")
        if len(values) <= width or "\n" in values[0] or bool(line_break) is is_last:
            line = first if line_break and is_last else "|".join(values)
            message = f"expected a line of sacct, got {excerpt(line)!r}"
            raise SlurmError(message, reason=FailureReason.INCOMPLETE)
        # A wrapper may drop `-n`, so that the header is a row.
        if values != names:
            yield values


def parse_batch_steps(stdout: bytes) -> tuple[tuple[int, int, str], ...]:
    """Read `sacct -P -n -o BATCH_STEP_FIELDS`: job id, start and state of each batch step.

    Raises:
        SlurmError: the answer is truncated.
    """
    answer = stdout.decode("utf-8", "replace")
    if answer and not answer.endswith("\n"):
        message = f"the last line of sacct's output is truncated: {excerpt(answer)!r}"
        raise SlurmError(message, reason=FailureReason.INCOMPLETE)
    found = _BATCH_STEP.finditer(answer)
    return tuple((int(step[1]), int(step[3]), step[2]) for step in found)


def _parse_row(field: Mapping[str, str]) -> Job:
    """Return the run of a row.

    slurmdbd made a row without partition from a step or an end that arrived before the start: its
    uid is 0, its name is not valid and its nodes are those of the step (seen in 21.08 ... 24.05).

    Raises:
        ValueError: a field, named in the message, cannot be read.
    """
    column = FieldReader(field)
    state, flags = split_state(field["State"])
    # Accounting has one word: RESIZING or REQUEUED instead of a base state.
    state = flags[0] if flags else state
    has_run = state != "PENDING"
    is_whole = field["Partition"] not in NO_VALUE_WORDS
    array, het, member = _array_and_het(field["JobID"])
    user, uid = user_and_uid(field["User"], digits(field["UID"]) if is_whole else None)
    return Job(
        job_id=column.required("JobIDRaw", digits),
        cluster=text(field["Cluster"]),
        user=user,
        uid=uid,
        account=text(field["Account"]),
        partition=text(field["Partition"]),
        state=state,
        submit_time=column.read("Submit", epoch_seconds),
        start_time=column.read("Start", epoch_seconds) if has_run else None,
        end_time=None if state in _UNFINISHED else column.read("End", epoch_seconds),
        time_limit_minutes=digits(field["TimelimitRaw"]),
        nodes=column.read("NodeList", _nodes) if is_whole else (),
        # 0 where a job has no nodes any more: then the number is not known.
        cpus=digits(field["AllocCPUS"]) or None if has_run else None,
        gpus=parse_tres(field["AllocTRES"])[1] if has_run else None,
        sharing=sharing_from_text(exclusive=field.get("Exclusive"), oversubscribe=None),
        name=text(field["JobName"]) if is_whole else None,
        array_job_id=array,
        array_task_id=member if array else None,
        het_job_id=het,
        het_job_offset=member if het else None,
        qos=text(field["QOS"]),
        admin_comment=text(field["AdminComment"]),
        comment=text(field["Comment"]),
        exit_code=text(field["ExitCode"]),
    )


def _array_and_het(display: str) -> tuple[int | None, int | None, int | None]:
    """Return array id, het id and member number: `12_3` is of array 12, `12+1` of het job 12."""
    found = _DISPLAY.fullmatch(display)
    if found is None or found[2] is None:
        return None, None, None
    owner, member = int(found[1]), int(found[3])
    return (owner, None, member) if found[2] == "_" else (None, owner, member)


def _nodes(value: str) -> tuple[str, ...]:
    return () if value in NO_VALUE_WORDS else expand_hosts(value)
