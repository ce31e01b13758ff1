"""Asking Slurm: one class over its commands, every answer either believed or an error.

A failed, empty, cut or error-carrying answer is *unknown* and raises; only the controller's own
"Invalid job id specified", or a whole listing without it, says that a job is not there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from slurm.commands import (
    MAX_LISTING_BYTES,
    TIMEOUT_SECONDS,
    CommandPaths,
    SlurmCommands,
    command_failure,
    is_unreachable,
)
from slurm.decode import scontrol_text
from slurm.decode.fields.sharing import sharing_from_cpus
from slurm.decode.job_rows import SQUEUE_FORMAT, SqueueRow, parse_job_list
from slurm.decode.queue_snapshot import QueueSnapshot, parse_queue_snapshot
from slurm.decode.release_text import parse_release
from slurm.decode.sacct_rows import (
    SACCT_FIELDS,
    SACCT_SHARING,
    new_separator,
    parse_sacct_rows,
)
from slurm.decode.scontrol_config import parse_config, parse_controllers
from slurm.decode.scontrol_nodes import Node
from slurm.errors import FailureReason, SlurmError, UnknownJob
from slurm.job import Job
from slurm.lookup.geometries import NodeGeometries
from slurm.lookup.jobs import IDS_PER_CALL, JobLookup
from slurm.process import Runner
from slurm.release import Release
from slurm.release_features import ReleaseFeatures, features_of

__all__ = ["CommandPaths", "Slurm"]

WINDOW_TIMEOUT_SECONDS = 300.0
EARLIEST_SACCT_TIME = 1_000_000  # no earlier `uts` time (`src/common/parse_time.c`, all releases)
RELEASE_RECHECK_SECONDS = 600.0
_log = logging.getLogger(__name__)
_END_STATES = "CD,F,TO,CA,NF,PR,BF,DL,OOM,RQ"  # sacct(1), 21.08 ... 26.05; RESIZING is not over
_DENIED = (b"Access/permission denied", b"Invalid user id")
_NO_SCRIPT = b"job script retrieval failed"  # with exit status 0 (seen with 22.05.8)


class Slurm:
    """One Slurm cluster by its commands; for one thread.

    `cluster` is Slurm's own name (None: read from the configuration on first use). An upgrade of
    Slurm under our feet is noticed by the file of `squeue`, by the first answer that fails or
    cannot be read, and after ten minutes at most (`squeue` may be a site's own wrapper).
    """

    def __init__(
        self,
        paths: CommandPaths,
        runner: Runner,
        *,
        cluster: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = SlurmCommands(paths, runner)
        self._geometries = NodeGeometries(self._commands)
        self._lookup = JobLookup(self._commands, self._geometries, clock=clock)
        self._clock = clock
        self._cluster = cluster
        self._release: Release | None = None
        self._release_at = 0.0
        self._is_release_confirmed = False
        self._squeue_file: tuple[int, int] | None = None
        self._has_accounting: bool | None = None

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
        """Return the release of the commands; asked again when their file is another, or in time.

        Raises:
            SlurmError: squeue does not say.
        """
        file = _file_identity(self._commands.squeue)
        is_old = self._clock() - self._release_at > RELEASE_RECHECK_SECONDS
        if (
            self._release is None
            or not self._is_release_confirmed
            or is_old
            or file != self._squeue_file
        ):
            return self._detect_release(file)
        return self._release

    def config(self) -> Mapping[str, tuple[str, ...]]:
        """Return slurm.conf as the controller sees it: name to values, () for `(null)`.

        Raises:
            SlurmError: the controller does not answer.
        """
        found = parse_config(self._commands.run([self._commands.scontrol, "show", "config"]).stdout)
        self._cluster = found["ClusterName"][0]
        kinds = found.get("AccountingStorageType") or ("accounting_storage/none",)
        self._has_accounting = not kinds[0].endswith("none")
        self._lookup.is_rate_limited = any(
            "rl_enable" in value for value in found.get("SlurmctldParameters", ())
        )
        return found

    @property
    def has_accounting(self) -> bool | None:
        """Tell whether the site has accounting; None until its configuration was asked."""
        return self._has_accounting

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return role (`primary`, `backup`...), host and whether it is up of each controller.

        Raises:
            SlurmError: scontrol cannot be run.
        """
        return parse_controllers(
            self._commands.run([self._commands.scontrol, "ping"], statuses=(0, 1)).stdout
        )

    def listing(self) -> tuple[SqueueRow, ...]:
        """Return all jobs in the controller's memory, as light text.

        Raises:
            SlurmError: the answer is not whole.
        """
        return parse_job_list(self._listing())

    def queue_snapshot(self) -> QueueSnapshot:
        """Return all jobs in the controller's memory as a sweep needs them: much lighter.

        Raises:
            SlurmError: the answer is not whole.
        """
        return parse_queue_snapshot(self._listing())

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records of some jobs; one that it does not know is absent.

        A record that cannot be understood is an error for its own id alone. Of an array or het job
        the record with the very id is taken. Of jobs in `states_only` states and times matter:
        cores and GRES may be left out.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        cluster = self.cluster
        try:
            return self._lookup.find(
                wanted, self._features, cluster=cluster, states_only=states_only
            )
        except SlurmError:
            self._is_release_confirmed = False
            raise

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
            rows += self._query_sacct(["-j", part], since, until, timeout_seconds=TIMEOUT_SECONDS)
        return tuple(rows)

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run that ended in a window by accounting, of all jobs.

        Without states sacct would also list what runs: the whole queue at every sweep.

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        chosen = ["-a", "-s", _END_STATES]
        return self._query_sacct(chosen, since, until, timeout_seconds=WINDOW_TIMEOUT_SECONDS)

    def script(self, job_id: int) -> str | None:
        """Return the batch script of a job in memory; None for a job without one.

        Raises:
            SlurmError: (DENIED) our account may not read it, or the answer is unknown.
        """
        argv = [self._commands.scontrol, "write", "batch_script", str(job_id), "-"]
        answer = self._commands.run_unchecked(argv)
        if answer.status == 0 and _NO_SCRIPT not in answer.stderr:
            return answer.stdout.removesuffix(b"\0").decode("utf-8", "replace")
        if any(words in answer.stderr for words in _DENIED):
            hint = "give the service's account AdminLevel Operator, or set metadata.job_script"
            message = f"the script of job {job_id} may not be read"
            raise SlurmError(message, reason=FailureReason.DENIED, stderr=answer.stderr, hint=hint)
        if is_unreachable(answer):
            raise command_failure(answer)
        return None

    def description(self, job_id: int) -> str | None:
        """Return what `scontrol show job` says of exactly this job; None if it is unknown.

        Users write parts of it: for people to read, never to be parsed.

        Raises:
            SlurmError: the answer is unknown.
        """
        known = self._lookup.text(job_id)
        if known is not None:
            return scontrol_text.job_record_text(known, job_id)
        try:
            answer = self._commands.run([self._commands.scontrol, "show", "job", str(job_id)])
        except UnknownJob:
            return None
        return scontrol_text.job_record_text(answer.stdout.decode("utf-8", "replace"), job_id)

    def _features(self, *, refresh: bool = False) -> ReleaseFeatures:
        """Return what to ask; `refresh`: an answer cannot be read, so it may be another release."""
        if refresh:
            self._is_release_confirmed = False
        return features_of(self.version())

    def _detect_release(self, file: tuple[int, int] | None) -> Release:
        """Ask for the release; with another one, or other files, everything is tried anew."""
        release = parse_release(self._commands.run([self._commands.squeue, "--version"]).stdout)
        if (release, file) != (self._release, self._squeue_file):
            _log.info("Slurm %s", release)
            self._lookup.forget()
            self._has_accounting = None
        self._release, self._squeue_file = release, file
        self._release_at, self._is_release_confirmed = self._clock(), True
        return release

    def _listing(self) -> bytes:
        argv = [self._commands.squeue, "--local", "-a", "-h", "-t", "all", "-o", SQUEUE_FORMAT]
        return self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES).stdout

    def _sacct_has_sharing(self) -> bool:
        """Tell whether sacct has sharing; for that alone the release is not asked for."""
        return self._release is not None and features_of(self._release).sacct_has_sharing

    def _query_sacct(
        self, selection: Sequence[str], since: int, until: int, *, timeout_seconds: float
    ) -> tuple[Job, ...]:
        cluster = self.cluster
        if self._has_accounting is None:
            self.config()
        if not self._has_accounting:
            return ()
        separator = new_separator()
        argv = [self._commands.sacct, "-X", "-D", "-P", "-n", f"--delimiter={separator}"]
        fields = SACCT_FIELDS + (SACCT_SHARING if self._sacct_has_sharing() else "")
        argv += ["-M", cluster, "-S", f"uts{max(since, EARLIEST_SACCT_TIME)}", "-E", f"uts{until}"]
        argv += ["-o", fields]
        answer = self._commands.run(
            [*argv, *selection], limit_bytes=MAX_LISTING_BYTES, timeout_seconds=timeout_seconds
        )
        rows = parse_sacct_rows(answer.stdout, fields=fields, separator=separator, cluster=cluster)
        return self._with_sharing(rows)

    def _with_sharing(self, runs: tuple[Job, ...]) -> tuple[Job, ...]:
        """Return the runs with the sharing that their CPUs tell, where accounting has none."""
        if all(run.sharing is not None or not run.nodes for run in runs):
            return runs
        nodes = self._geometries.known()
        return tuple(run if run.sharing else _shared_by_cpus(run, nodes) for run in runs)


def _shared_by_cpus(run: Job, nodes: Mapping[str, Node]) -> Job:
    of_nodes = [nodes[name].cpus if name in nodes else None for name in run.nodes]
    return replace(run, sharing=sharing_from_cpus(run.cpus, of_nodes))


def _file_identity(path: str) -> tuple[int, int] | None:
    """Return what tells one version of a command's file from another; None if it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
