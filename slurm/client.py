"""Asking Slurm: one class over its commands, every answer either believed or an error.

A failed, empty, cut or error-carrying answer is *unknown* and raises; only the controller's own
"Invalid job id specified", or a whole listing without it, says that a job is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slurm import description
from slurm.command import Answer, Runner
from slurm.config import Geometry, config_of, controllers_of, geometries_of
from slurm.errors import Problem, SlurmError, UnknownJob
from slurm.job import Job
from slurm.job_json import job_of_json
from slurm.release import Release, release_of
from slurm.rows import (
    SACCT_FIELDS,
    SACCT_SEPARATOR,
    SQUEUE_FORMAT,
    ListedJob,
    accounted_jobs,
    listed_jobs,
)

TIMEOUT_SECONDS = 60.0
WINDOW_TIMEOUT_SECONDS = 300.0
LIMIT_BYTES = 1 << 20
LISTING_BYTES = 1 << 31
IDS_PER_CALL = 1000
_UNKNOWN_ID = b"Invalid job id specified"
_NO_SCRIPT = b"job script retrieval failed"  # with exit status 0 (seen with 22.05.8)
_DENIED = (b"Access/permission denied", b"Invalid user id")
_UNREACHABLE = (b"Unable to contact slurm controller", b"Connection refused", b"not responding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Absolute paths of Slurm's commands, and of slurm.conf where it is not the built-in one."""

    squeue: Path
    sacct: Path
    scontrol: Path
    conf: Path | None = None


class Slurm:
    """One Slurm cluster by its commands; for one thread.

    `cluster` is Slurm's own name (None: read from the configuration on first use).
    """

    def __init__(self, commands: Commands, runner: Runner, *, cluster: str | None = None) -> None:
        self._squeue, self._sacct = str(commands.squeue), str(commands.sacct)
        self._scontrol = str(commands.scontrol)
        self._conf = commands.conf
        self._runner = runner
        self._cluster = cluster
        self._release: Release | None = None
        self._has_accounting: bool | None = None
        self._geometries: Mapping[str, Geometry] | None = None

    @property
    def cluster(self) -> str:
        """Return Slurm's own name of the cluster.

        Raises:
            SlurmError: it cannot be read.
        """
        if self._cluster is None:
            self.config()
        return self._cluster or ""

    def version(self) -> Release:
        """Return the release of the commands; asked once.

        Raises:
            SlurmError: squeue does not say.
        """
        if self._release is None:
            self._release = release_of(self._ask([self._squeue, "--version"]).stdout)
        return self._release

    def config(self) -> Mapping[str, tuple[str, ...]]:
        """Return slurm.conf as the controller sees it: name to values, () for `(null)`.

        Raises:
            SlurmError: the controller does not answer.
        """
        found = config_of(self._ask([self._scontrol, "show", "config"]).stdout)
        self._cluster = found["ClusterName"][0]
        kinds = found.get("AccountingStorageType") or ("accounting_storage/none",)
        self._has_accounting = not kinds[0].endswith("none")
        return found

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return role (`primary`, `backup`...), host and whether it is up of each controller.

        Raises:
            SlurmError: scontrol cannot be run.
        """
        return controllers_of(self._ask([self._scontrol, "ping"], statuses=(0, 1)).stdout)

    def listing(self) -> tuple[ListedJob, ...]:
        """Return all jobs in the controller's memory, as light text.

        Raises:
            SlurmError: the answer is not whole.
        """
        argv = [self._squeue, "--local", "-a", "-h", "-t", "all", "-o", SQUEUE_FORMAT]
        return listed_jobs(self._ask(argv, limit_bytes=LISTING_BYTES).stdout)

    def jobs(self, ids: Iterable[int]) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records of some jobs; one that it does not know is absent.

        A record that cannot be understood is an error for its own id alone. Of an array or het job
        the record with the very id is taken.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        release = self.version()
        argv = [self._squeue, "--local", "-a", "-t", "all", release.json_option]
        if release.filters_by_id and len(wanted) == 1:
            argv += ["-j", str(wanted[0])]
        try:
            answer = self._ask(argv, limit_bytes=LISTING_BYTES)
        except UnknownJob:
            return {}
        records = self._records(answer)
        found = {record.get("job_id"): record for record in records}
        return {i: self._job(found[i]) for i in wanted if i in found}

    def job(self, job_id: int) -> Job:
        """Return the controller's record of a job.

        Raises:
            UnknownJob: the controller does not have it.
            SlurmError: the answer is unknown.
        """
        found = self.jobs([job_id]).get(job_id)
        if found is None:
            raise UnknownJob(job_id)
        if isinstance(found, SlurmError):
            raise found
        return found

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of some jobs that accounting has between two instants.

        Without accounting (`AccountingStorageType` none) there is nothing to know: ().

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        wanted = sorted(set(ids))
        rows: list[Job] = []
        for first in range(0, len(wanted), IDS_PER_CALL):
            part = ",".join(map(str, wanted[first : first + IDS_PER_CALL]))
            rows += self._accounted(["-j", part], since, until, timeout_seconds=TIMEOUT_SECONDS)
        return tuple(rows)

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run that accounting has in a window, of all jobs.

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        return tuple(self._accounted(["-a"], since, until, timeout_seconds=WINDOW_TIMEOUT_SECONDS))

    def script(self, job_id: int) -> str | None:
        """Return the batch script of a job in memory; None for a job without one.

        Raises:
            SlurmError: (DENIED) our account may not read it, or the answer is unknown.
        """
        argv = [self._scontrol, "write", "batch_script", str(job_id), "-"]
        answer = self._run(argv, timeout_seconds=TIMEOUT_SECONDS, limit_bytes=LIMIT_BYTES)
        if answer.status == 0 and _NO_SCRIPT not in answer.stderr:
            return answer.stdout.removesuffix(b"\0").decode("utf-8", "replace")
        if any(words in answer.stderr for words in _DENIED):
            hint = "give the service's account AdminLevel Operator, or set metadata.job_script"
            message = f"the script of job {job_id} may not be read"
            raise SlurmError(message, kind=Problem.DENIED, stderr=answer.stderr, hint=hint)
        if any(words in answer.stderr for words in _UNREACHABLE):
            raise _failed(answer)
        return None

    def description(self, job_id: int) -> str | None:
        """Return what `scontrol show job` says of exactly this job; None if it is unknown.

        Users write parts of it: for people to read, never to be parsed.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = [self._scontrol, "show", "job", str(job_id)]
        try:
            answer = self._ask(argv)
        except UnknownJob:
            return None
        return description.own_record(answer.stdout.decode("utf-8", "replace"), job_id)

    def _accounted(
        self, selection: Sequence[str], since: int, until: int, *, timeout_seconds: float
    ) -> tuple[Job, ...]:
        cluster = self.cluster
        if self._has_accounting is None:
            self.config()
        if not self._has_accounting:
            return ()
        argv = [self._sacct, "-X", "-D", "-P", "-n", f"--delimiter={SACCT_SEPARATOR}"]
        argv += ["-M", cluster, "-S", f"uts{since}", "-E", f"uts{until}", "-o", SACCT_FIELDS]
        answer = self._ask(
            [*argv, *selection], limit_bytes=LISTING_BYTES, timeout_seconds=timeout_seconds
        )
        return accounted_jobs(answer.stdout, cluster=cluster)

    def _records(self, answer: Answer) -> list[dict[str, Any]]:
        """Return the job records of a JSON answer that is whole and without errors."""
        try:
            document = json.loads(answer.stdout)
            records, errors = document["jobs"], document["errors"]
            if errors or "meta" not in document:
                message = f"the answer carries errors: {errors!r}"
                raise SlurmError(message[:300], kind=Problem.REPORTED, command=answer.argv)
            clusters = {record["cluster"] for record in records} - {self.cluster}
        except (ValueError, KeyError, TypeError) as error:
            message = f"not a JSON answer of squeue: {error!r}"[:300]
            raise SlurmError(message, kind=Problem.CUT, command=answer.argv) from error
        if clusters:
            message = f"squeue answers for cluster {clusters.pop()!r}, not {self.cluster!r}"
            raise SlurmError(message, kind=Problem.WRONG_CLUSTER, command=answer.argv)
        return list(records)

    def _job(self, record: dict[str, Any]) -> Job | SlurmError:
        try:
            return job_of_json(record, geometry_of=self._geometry)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"the record of job {record.get('job_id')} is not understood: {error!r}"
            return SlurmError(message[:300], kind=Problem.MALFORMED)

    def _geometry(self, node: str) -> Geometry | None:
        """Return the geometry of a node; the nodes are asked for once."""
        if self._geometries is None:
            argv = [self._scontrol, "show", "node"]
            self._geometries = geometries_of(self._ask(argv, limit_bytes=LISTING_BYTES).stdout)
        return self._geometries.get(node)

    def _ask(
        self,
        argv: Sequence[str],
        *,
        limit_bytes: int = LIMIT_BYTES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        statuses: tuple[int, ...] = (0,),
    ) -> Answer:
        """Run a command whose answer must be good.

        Raises:
            UnknownJob: the controller says that it does not know the id.
            SlurmError: the answer is unknown.
        """
        answer = self._run(argv, timeout_seconds=timeout_seconds, limit_bytes=limit_bytes)
        if _UNKNOWN_ID in answer.stderr:
            raise UnknownJob(0)
        if answer.status not in statuses or b"error" in answer.stderr:
            raise _failed(answer)
        return answer

    def _run(self, argv: Sequence[str], *, timeout_seconds: float, limit_bytes: int) -> Answer:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        environment |= {"SLURM_TIME_FORMAT": "%s", "SLURM_JSON": "compact"}
        if self._conf is not None:
            environment["SLURM_CONF"] = str(self._conf)
        return self._runner(
            argv,
            environment=environment,
            timeout_seconds=timeout_seconds,
            limit_bytes=limit_bytes,
        )


def _failed(answer: Answer) -> SlurmError:
    """Return why an answer is not believed."""
    gone = any(words in answer.stderr for words in _UNREACHABLE)
    kind = Problem.UNREACHABLE if gone else Problem.FAILED
    return SlurmError(
        f"{answer.argv[0]} ended with {answer.status}",
        kind=kind,
        command=answer.argv,
        status=answer.status,
        stderr=answer.stderr,
    )
