"""The client of Slurm: one class that runs its commands; each answer is complete or an error.

An answer that failed, is empty or truncated, or carries errors, is *unknown* and raises. A job
counts as missing only if the controller says "Invalid job id specified" or a complete listing lacks
it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TypeVar

from slurm.commands import (
    MAX_LISTING_BYTES,
    TIMEOUT_SECONDS,
    CommandPaths,
    SlurmCommands,
    command_failure,
    is_unreachable,
    unix_lines,
)
from slurm.decode.job_rows import (
    SQUEUE_FORMAT,
    QueueSnapshot,
    SqueueRow,
    parse_job_list,
    parse_queue_snapshot,
)
from slurm.decode.node_states import NodeListing, NodeListingReader
from slurm.decode.scontrol_config import (
    SlurmSettings,
    has_accounting,
    parse_config,
    parse_controllers,
)
from slurm.decode.scontrol_job import job_record_text
from slurm.errors import FailureReason, SlurmError, UnknownJob
from slurm.job import Job
from slurm.lookup.accounting import AccountingLookup
from slurm.lookup.cluster_facts import InstalledRelease, NodeGeometries
from slurm.lookup.jobs import JobLookup
from slurm.process import Runner
from slurm.release import Release, features_of

MAX_SCRIPT_BYTES = 1 << 26
"""Larger than `max_script_size` of any site; its default is 4 MiB (slurm.conf(5))."""
_DENIED = (b"Access/permission denied", b"Invalid user id")
_NO_SCRIPT = b"job script retrieval failed"  # with exit status 0 (seen with 22.05.8)
T = TypeVar("T")


def _script(stdout: bytes) -> str:
    """Return the batch script in an answer, without the lines that a site's wrapper prints first.

    Sbatch takes no script that begins otherwise than with `#!`, and none with carriage returns.
    """
    plain = unix_lines(stdout).removesuffix(b"\0")
    start = 0 if plain.startswith(b"#!") else plain.find(b"\n#!") + 1
    return plain[start:].decode("utf-8", "replace")


class Slurm:
    """Client of one Slurm cluster; it runs Slurm's commands. Use it in one thread only.

    `cluster` is Slurm's own name (None: read from the configuration on first use). An upgrade of
    Slurm while we run is detected by a changed `squeue` file, by the first answer that fails or
    cannot be read, and after ten minutes at most (`squeue` may be a site's own wrapper).
    `timeout_seconds` is what one command may take; accounting's windows may take longer.
    """

    def __init__(
        self,
        paths: CommandPaths,
        runner: Runner,
        *,
        cluster: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = SlurmCommands(paths, runner, clock=clock, timeout_seconds=timeout_seconds)
        self._nodes = NodeGeometries(self._commands, clock)
        self._lookup = JobLookup(self._commands, self._nodes, clock=clock)
        self._release = InstalledRelease(self._commands, clock, self._forget)
        self._cluster = cluster
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
        """Return Slurm's release; read it again if `squeue` was replaced or the answer is old.

        Raises:
            SlurmError: `squeue --version` does not print it.
        """
        return self._release.current()

    @property
    def known_release(self) -> Release | None:
        """Return Slurm's release as last read, without running a command; for any thread."""
        return self._release.known

    def warnings(self) -> tuple[str, ...]:
        """Return warnings about answers of Slurm that were accepted; for any thread.

        These are error lines on stderr next to complete answers, and sources that were replaced.
        """
        return (*self._lookup.warnings(), *self._commands.error_lines.current())

    def config(self, *, timeout_seconds: float | None = None) -> SlurmSettings:
        """Return slurm.conf as the controller sees it: name to values, () for `(null)`.

        Raises:
            SlurmError: the controller does not answer.
        """
        argv = [self._commands.scontrol, "show", "config"]
        found = self._commands.read(argv, parse_config, timeout_seconds=timeout_seconds)
        self._cluster = found["ClusterName"][0]
        self._has_accounting = has_accounting(found)
        self._lookup.is_rate_limited = any(
            "rl_enable" in value for value in found.get("SlurmctldParameters", ())
        )
        return found

    @property
    def has_accounting(self) -> bool | None:
        """Return whether the site has accounting; None until slurm.conf has been read."""
        return self._has_accounting

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return role (`primary`, `backup`...), host and up state (a bool) of each controller.

        Raises:
            SlurmError: scontrol cannot be run.
        """
        return parse_controllers(
            self._commands.run([self._commands.scontrol, "ping"], statuses=(0, 1)).stdout
        )

    def listing(self) -> tuple[SqueueRow, ...]:
        """Return all jobs in the controller's memory, one row each, from squeue's text output.

        Raises:
            SlurmError: the answer is incomplete.
        """
        return self._listing(parse_job_list)

    def queue_snapshot(self) -> QueueSnapshot:
        """Return all jobs in the controller's memory in the compact form that a sweep needs.

        Raises:
            SlurmError: the answer is incomplete.
        """
        return self._listing(parse_queue_snapshot)

    def node_listing(self) -> NodeListing:
        """Return the states of all nodes, hidden ones too; the text is read as it arrives.

        Raises:
            SlurmError: the answer is not complete, or our account may not see the nodes.
        """
        reader = NodeListingReader()
        argv = [self._commands.scontrol, "-a", "-d", "-o", "show", "node"]
        self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES, sink=reader.feed)
        return reader.finish()

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records of some jobs; unknown job ids are absent.

        A record that cannot be read is an error only for its own id. Of an array or het job
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
                wanted, self._release.features, cluster=cluster, states_only=states_only
            )
        except SlurmError:
            self._release.doubt()
            raise

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of some jobs that accounting has between two instants.

        Without accounting (`AccountingStorageType` none) this is ().

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        lookup = self._accounting()
        return () if lookup is None else lookup.runs_of(ids, since=since, until=until)

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of any job that ended between two instants according to accounting.

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        lookup = self._accounting()
        return () if lookup is None else lookup.ended(since=since, until=until)

    def script(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return the batch script of a job in memory; None for a job without one.

        Raises:
            SlurmError: (DENIED) our account may not read it, or the answer is unknown.
        """
        argv = [self._commands.scontrol, "write", "batch_script", str(job_id), "-"]
        answer = self._commands.run_unchecked(
            argv, limit_bytes=MAX_SCRIPT_BYTES, timeout_seconds=timeout_seconds
        )
        if answer.status == 0 and _NO_SCRIPT not in answer.stderr:
            self._commands.error_lines.record(answer.argv[0], answer.stderr)
            return _script(answer.stdout)
        if any(words in answer.stderr for words in _DENIED):
            hint = "give the service user AdminLevel Operator, or set metadata.job_script to false"
            message = f"no permission to read the script of job {job_id}"
            raise SlurmError(message, reason=FailureReason.DENIED, stderr=answer.stderr, hint=hint)
        if is_unreachable(answer) or answer.status < 0:
            raise command_failure(answer)
        return None

    def description(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return the text of `scontrol show job` about exactly this job; None if it is unknown.

        Users write parts of it: it is for people to read and must never be parsed.

        Raises:
            SlurmError: the answer is unknown.
        """
        known = self._lookup.text(job_id)
        if known is not None:
            return job_record_text(known, job_id)
        argv = self._commands.show_job_argv(str(job_id), with_detail=False)
        try:
            return self._commands.read(
                argv,
                lambda stdout: job_record_text(stdout.decode("utf-8", "replace"), job_id),
                limit_bytes=MAX_LISTING_BYTES,
                timeout_seconds=timeout_seconds,
                for_display=True,
            )
        except UnknownJob:
            return None

    def _forget(self) -> None:
        """Forget what was learned about the commands, because their release changed."""
        self._lookup.forget()
        self._has_accounting = None

    def _listing(self, parse: Callable[[bytes], T]) -> T:
        argv = [self._commands.squeue, "--local", "-a", "-h", "-t", "all", "-o", SQUEUE_FORMAT]
        return self._commands.read(argv, parse, limit_bytes=MAX_LISTING_BYTES)

    def _accounting(self) -> AccountingLookup | None:
        """Return the look-up in accounting; None on a site without accounting.

        Whether sacct prints node sharing depends on the release; no command is run to learn it.
        """
        cluster = self.cluster
        if self._has_accounting is None:
            self.config()
        if not self._has_accounting:
            return None
        release = self._release.known
        has_sharing = release is not None and features_of(release).sacct_has_sharing
        return AccountingLookup(
            commands=self._commands, nodes=self._nodes, cluster=cluster, has_sharing=has_sharing
        )
