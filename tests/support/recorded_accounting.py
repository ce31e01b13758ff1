"""Runs of jobs from `sacct --json` of every release, to compare with those from its text.

The program asks for text only, which is cheaper and correct in every release. Known faults of JSON
(seen in recordings of all nine): the start is the eligible time in 21.08 and up to 22.05.7; the
exit code is always success up to 23.02; a record that a requeue or a resize closed has `PENDING`
before the actual state, from 23.11 on. A record without partition was made before accounting got
the start of the job, and lists the nodes of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slurm.decode.fields.hostlist import expand_hosts
from slurm.decode.fields.job_states import split_state
from slurm.decode.fields.scalars import instant, number, positive, text
from slurm.decode.fields.sharing import sharing_from_text
from slurm.decode.json_stream import RecordStream
from slurm.decode.release_text import parse_release_number
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.release import Release

_UNFINISHED = frozenset({"PENDING", "RUNNING", "SUSPENDED"})
_FIRST_WITH_TRUE_STARTS = Release(22, 5, 8)


class AccountingStream:
    """A parser of `sacct --json`: `feed` it pieces of an answer, `close` it for the runs."""

    def __init__(self, *, cluster: str | None = None) -> None:
        self._cluster = cluster
        self._jobs: list[Job] = []
        self._records = RecordStream(self._add_record)

    def feed(self, piece: bytes) -> None:
        """Parse the next piece of the answer.

        Raises:
            SlurmError: this is not an answer of sacct, or that of another cluster.
        """
        self._records.feed(piece)

    def close(self) -> tuple[Job, ...]:
        """Return one job per run.

        Raises:
            SlurmError: the answer is truncated, is not an answer of sacct, or has errors.
        """
        fields = self._records.close()
        if _start_is_eligible_time(fields["meta"]):
            return tuple(replace(job, start_time=None) for job in self._jobs)
        return tuple(self._jobs)

    def _add_record(self, record: Mapping[str, Any]) -> None:
        try:
            job = _job(record)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            message = f"a record of sacct is not understood: {error!r}"
            raise SlurmError(message[:300], reason=FailureReason.MALFORMED) from error
        if self._cluster is not None and job.cluster != self._cluster:
            message = f"sacct answers for cluster {job.cluster!r}, not {self._cluster!r}"
            raise SlurmError(message, reason=FailureReason.WRONG_CLUSTER)
        self._jobs.append(job)


def _job(record: Mapping[str, Any]) -> Job:
    state, flags = split_state(record["state"]["current"])
    state = flags[0] if flags else state
    time = record["time"]
    array, het = record.get("array") or {}, record.get("het") or {}
    array_job_id, het_job_id = positive(array.get("job_id")), positive(het.get("job_id"))
    counts = _allocated_tres(record) if state != "PENDING" else {}
    job_id = positive(record["job_id"])
    if job_id is None:
        raise ValueError("a record without job_id")
    return Job(
        job_id=job_id,
        cluster=text(record.get("cluster")),
        user=text(record.get("user")),
        account=text(record.get("account")),
        partition=text(record.get("partition")),
        state=state,
        submit_time=instant(time.get("submission")),
        start_time=instant(time.get("start")) if state != "PENDING" else None,
        end_time=None if state in _UNFINISHED else instant(time.get("end")),
        time_limit_minutes=positive(time.get("limit")),
        nodes=expand_hosts(text(record.get("nodes")) or "") if record.get("partition") else (),
        cpus=counts.get("cpu"),
        gpus=counts.get("gres/gpu"),
        sharing=sharing_from_text(exclusive=text(record.get("exclusive")), oversubscribe=None),
        name=text(record.get("name")) if record.get("partition") else None,
        array_job_id=array_job_id,
        array_task_id=number(array.get("task_id")) if array_job_id else None,
        het_job_id=het_job_id,
        het_job_offset=number(het.get("job_offset")) if het_job_id else None,
        restart_count=number(record.get("restart_cnt")),
        qos=text(record.get("qos")),
        admin_comment=text((record.get("comment") or {}).get("administrator")),
        exit_code=_exit_code(record.get("exit_code")),
        sluid=text(record.get("sluid")),
    )


def _allocated_tres(record: Mapping[str, Any]) -> dict[str, int]:
    """Return allocated CPUs and GRES by their names in the text form."""
    counts: dict[str, int] = {}
    for item in (record.get("tres") or {}).get("allocated") or []:
        kind = f"{item['type']}/{item['name']}" if item.get("name") else item["type"]
        count = positive(item.get("count"))
        if count is not None:
            counts[kind] = count
    return counts


def _exit_code(value: Any) -> str | None:
    """Return `code:signal`; None from releases that always say success (up to 23.02)."""
    if not isinstance(value, dict) or not isinstance(value.get("status"), list):
        return None
    signal = number((value.get("signal") or {}).get("id")) or 0
    return f"{number(value.get('return_code')) or 0}:{signal}"


def _start_is_eligible_time(meta: Any) -> bool:
    """Return whether the start is the eligible time; only the release shows this, no record."""
    plugin = meta.get("plugin") if isinstance(meta, dict) else None
    kind = plugin.get("type") if isinstance(plugin, dict) else None
    if kind not in {"openapi/dbv0.0.37", "openapi/dbv0.0.38"}:
        return False
    release = (meta.get("Slurm") or {}).get("release")
    return parse_release_number(str(release)) < _FIRST_WITH_TRUE_STARTS
