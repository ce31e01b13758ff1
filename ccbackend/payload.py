"""The bodies of start, stop and delete requests, made from facts when they are sent.

Pure: the same facts, site and dialect give the same document. Start and stop of a run carry the
identical key, taken from what was reported. Every server from 1.0.0 on knows all fields, except
the node sharing field, which depends on the dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ccbackend.dialects import (
    FALLBACK_STATE,
    end_state,
    is_known_state,
    sharing_field,
    sharing_problem,
)
from ccbackend.errors import PayloadError
from ccbackend.facts import BackendRunKey, JobFacts
from ccbackend.metadata import clean_text, drop_largest
from ccbackend.outcomes import Reason
from ccbackend.resources import Warn, ignore_warning, resources_of
from ccbackend.site_map import SiteMap
from ccbackend.version import Dialect

Document = dict[str, Any]

# Beyond it the answer is 200 and the row gets a negative duration (recorded).
MAX_DURATION_SECONDS = 2**31 - 1  # the server computes durations in 32 bits (all versions)


def start_payload(
    job: JobFacts,
    *,
    mapping: SiteMap,
    dialect: Dialect,
    metadata: Mapping[str, str],
    cluster: str | None = None,
    warn: Warn = ignore_warning,
) -> Document:
    """Make the body of a start request.

    Args:
        job: facts of the run.
        mapping: of the site.
        dialect: of the server, at the moment of sending.
        metadata: of `metadata_of`.
        cluster: the name under which the run was reported before; None: by the mapping.
        warn: called with texts that are equal for equal causes, so that each can be logged once.

    Raises:
        PayloadError: the server could never accept what these facts give.
    """
    name = cluster or mapping.cluster_of(job.partition)
    resources, accelerators = resources_of(job, mapping, name, warn)
    # No subCluster: the server derives it from the first host. No smt: values above 1 are refused
    # with 500. No tags: one that fails makes the answer 500 although the job is stored.
    document: Document = {
        "jobId": job.job_id,
        "cluster": name,
        "user": _user(job, mapping),
        "project": clean_text(job.account or ""),
        "partition": clean_text(job.partition or ""),
        "arrayJobId": job.array_job_id or 0,
        "numNodes": len(resources),  # the server demands this equality
        "numHwthreads": _cpus(job),
        "numAcc": accelerators,
        **_sharing(job, dialect, warn),
        # 0, and so left out, for a job without limit: the server's walltime reaper spares it.
        "walltime": 60 * (job.time_limit_minutes or 0),
        "startTime": job.start_time or 0,
        "resources": resources,
        "metaData": dict(metadata),
    }
    _check_start(document)
    return {k: v for k, v in document.items() if v or k not in _OMITTED_WHEN_EMPTY}


def stop_payload(
    key: BackendRunKey, *, end_time: int, state: str, dialect: Dialect, warn: Warn = ignore_warning
) -> Document:
    """Make the body of a stop request.

    Args:
        key: of the run as it was reported.
        end_time: Unix seconds; brought to the start or later, within 2^31 - 1 s of it.
        state: Slurm's word for the end (`COMPLETED`, `CANCELLED by 1000`, `NODE_FAIL`, ...).
        dialect: of the server, at the moment of sending.
        warn: called for an unknown word and for a correction by more than a second.

    Raises:
        PayloadError: the word names no end.
    """
    name = end_state(state, dialect)
    if name is None:
        raise PayloadError((f"{state} is not an end state such as COMPLETED",))
    if not is_known_state(state):
        warn(f"end state {state!r} is unknown to this program: it is reported as {name}")
    stop_time = clamp_end_time(end_time, key.start_time)
    if abs(stop_time - end_time) > 1:
        warn(
            "the end time was before the start time or too long after it: it is reported changed"
            f" by {stop_time - end_time:+d} s"
        )
    return {
        "jobId": key.job_id,
        "cluster": key.cluster,
        "startTime": key.start_time,
        "stopTime": stop_time,
        "jobState": name,
    }


def edit_meta_payload(key: BackendRunKey, name: str, value: str) -> Document:
    """Make the body that sets one key of a stored run's metadata (>= 1.5.0).

    Without the whole `key`, as the run was reported, another run could be changed. `name` is
    `jobScript` or `slurmInfo`, `value` a text as `metadata_of` makes it.
    """
    return {
        "jobId": key.job_id,
        "cluster": key.cluster,
        "startTime": key.start_time,
        "payload": {"key": name, "value": value},
    }


def delete_payload(key: BackendRunKey) -> Document:
    """Make the body of a delete request, with the whole key, so that no other run is deleted."""
    return {"jobId": key.job_id, "cluster": key.cluster, "startTime": key.start_time}


def key_of(document: Mapping[str, Any]) -> BackendRunKey:
    """Return the key of the run that a body is about."""
    return BackendRunKey(document["jobId"], document["cluster"], document["startTime"])


def clamp_end_time(end_time: int, start_time: int, *, min_seconds: int = 0) -> int:
    """Return the end time, at least `min_seconds` after the start and within a 32-bit duration.

    From 1.4.3 on a server takes an end equal to the start; an older one that refuses it gets one a
    second later (`amend`).
    """
    return min(max(end_time, start_time + min_seconds), start_time + MAX_DURATION_SECONDS)


def amend(document: Document, reason: Reason) -> Document | None:
    """Return the request changed as its refusal demands; None if nothing (more) can be changed."""
    if reason is Reason.METADATA_TOO_LARGE:
        smaller = drop_largest(document.get("metaData", {}))
        return None if smaller is None else document | {"metaData": smaller}
    if reason is Reason.STATE_UNKNOWN:
        changed = document | {"jobState": FALLBACK_STATE}
    else:
        end = clamp_end_time(document["stopTime"], document["startTime"], min_seconds=1)
        changed = document | {"stopTime": end}
    return None if changed == document else changed


def _check_start(document: Mapping[str, Any]) -> None:
    """Check a start body for values that the server would always refuse.

    Raises:
        PayloadError: there is at least one; the error names all.
    """
    hosts = [resource["hostname"] for resource in document["resources"]]
    checks = (
        (document["jobId"] > 0, "the job id is not positive"),
        (document["startTime"] > 0, "the start time is not known"),
        (bool(document["user"]), "the user name is not known"),
        (bool(document["cluster"]), "the cluster name is empty"),
        (bool(hosts), "the job has no hosts"),
        (all(hosts), "a host name is empty"),
        (len(set(hosts)) == len(hosts), "a host occurs twice"),
        (document["numHwthreads"] >= 0, "numHwthreads is negative"),
        (document["walltime"] >= 0, "walltime is negative"),
    )
    problems = tuple(text for good, text in checks if not good)
    if problems:
        raise PayloadError(problems)


# Zero and empty mean "absent" to the server: such fields are left out.
_OMITTED_WHEN_EMPTY = {"partition", "arrayJobId", "numHwthreads", "numAcc", "walltime", "metaData"}


def needs_user_name(job: JobFacts, mapping: SiteMap, *, waited_seconds: float) -> bool:
    """Return whether a start has to wait for the name of its user.

    `mapping` may allow the numeric user id in place of a name that stays unknown. `waited_seconds`
    is how long the name has been looked up.
    """
    if clean_text(job.user or ""):
        return False
    after = mapping.user_from_uid_after_seconds
    return after is None or job.uid is None or waited_seconds < after


def _sharing(job: JobFacts, dialect: Dialect, warn: Warn) -> Document:
    problem = sharing_problem(job)
    if problem:
        warn(problem)
    return sharing_field(job, dialect)


def _user(job: JobFacts, mapping: SiteMap) -> str:
    """Return the user name; the numeric user id if the name is unknown and the site allows it."""
    name = clean_text(job.user or "")
    if name or job.uid is None or mapping.user_from_uid_after_seconds is None:
        return name
    return str(job.uid)


def _cpus(job: JobFacts) -> int:
    """Return the allocated CPUs; 0, which is left out, if not known.

    The server computes core hours from them: the lists in `resources` may be absent.
    """
    if job.cpus is not None:
        return job.cpus
    parts = [node.cpus for node in job.allocations]
    return sum(part for part in parts if part is not None) if None not in parts else 0
