"""Reads job records by `squeue --json`, and knows whether JSON works."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from slurm.commands import MAX_LISTING_BYTES
from slurm.decode.json_stream import RecordStream
from slurm.decode.release_text import release_of_meta
from slurm.decode.squeue_json import parse_job, record_job_id
from slurm.errors import FailureReason, SlurmError, UnknownJob, excerpt, wrong_cluster
from slurm.job import Job
from slurm.lookup.result import IDS_PER_CALL, LookupResult, LookupTools, Target
from slurm.release import QueryMethod, Release, ReleaseFeatures, features_of

ASSUMED_LISTING_SECONDS = 0.03  # until one has been measured
RETRY_SECONDS = 600.0
"""The time until JSON is tried again after it has failed where text works."""
_log = logging.getLogger(__name__)
_JSON_FAILED = "squeue's JSON cannot be read, so its text output is used:"


class JsonSource:
    """A reader of job records by `squeue --json`; it remembers whether JSON works."""

    def __init__(self, tools: LookupTools) -> None:
        self._tools = tools
        self._failed_at: float | None = None
        self._has_plugin = True
        self.listing_seconds = ASSUMED_LISTING_SECONDS
        """The duration of the last listing of all jobs."""
        self.warning: str | None = None
        """Why text is used instead; None while JSON works."""
        self._answered: Release | None = None

    @property
    def is_usable(self) -> bool:
        """Return whether JSON should be tried."""
        return self._failed_at is None or self._tools.clock() - self._failed_at >= RETRY_SECONDS

    @property
    def is_missing(self) -> bool:
        """Return whether squeue has said recently that it cannot write JSON."""
        return not self._has_plugin and not self.is_usable

    def record_failure(self, error: SlurmError) -> None:
        """Record that JSON has failed; it is not usable for the next `RETRY_SECONDS`."""
        self._failed_at = self._tools.clock()
        self._has_plugin = error.reason is not FailureReason.NO_JSON
        if self.warning is None:
            _log.warning("%s %s", _JSON_FAILED, excerpt(str(error)))
        self.warning = f"{_JSON_FAILED} {excerpt(str(error))}"

    def is_of_other_release(self, features: ReleaseFeatures) -> bool:
        """Return whether the last answer names a release with other features than those assumed."""
        return self._answered is not None and features_of(self._answered) != features

    def forget(self) -> None:
        """Forget earlier failures, because JSON works or Slurm's commands have changed."""
        self._failed_at = self.warning = None
        self._has_plugin = True

    def find(self, wanted: Sequence[int], method: QueryMethod, target: Target) -> LookupResult:
        """Return the wanted jobs.

        Raises:
            SlurmError: an answer is unknown.
        """
        self._answered = None
        squeue = self._tools.commands.squeue
        # Up to 24.05.0 `-t` is ignored with `--json`; later releases would leave out ended jobs.
        argv = [squeue, "--local", "-a", "-t", "all", target.features.json_option]
        found = LookupResult()
        if method is QueryMethod.JSON_ALL:
            begin = self._tools.clock()
            found.add(self._read(argv, wanted, target))
            self.listing_seconds = self._tools.clock() - begin
        else:
            size = 1 if method is QueryMethod.JSON_EACH else IDS_PER_CALL
            for first in range(0, len(wanted), size):
                part = wanted[first : first + size]
                found.add(self._read([*argv, "-j", ",".join(map(str, part))], part, target))
        self.forget()
        return found

    def _read(self, argv: list[str], wanted: Sequence[int], target: Target) -> LookupResult:
        """Run squeue once; return the wanted jobs, of an array or het job only the exact ids."""
        ids = frozenset(wanted)
        found = LookupResult()

        def take(record: Mapping[str, Any]) -> None:
            job_id = record_job_id(record)
            _check_cluster(record, target.cluster)
            if job_id in ids:
                found.jobs[job_id] = self._job(record, job_id)

        stream = RecordStream(take)
        self._tools.budget.spend()
        try:
            self._tools.commands.run(
                argv,
                limit_bytes=MAX_LISTING_BYTES,
                timeout_seconds=target.timeout_seconds,
                sink=stream.feed,
            )
        # From 23.02 on squeue exits with 1 for a single id that slurmctld does not know.
        except UnknownJob:
            return LookupResult()
        self._answered = release_of_meta(stream.close()["meta"])
        return found

    def _job(self, record: Mapping[str, Any], job_id: int) -> Job | SlurmError:
        try:
            return parse_job(record, node_of=self._tools.nodes.node)
        except ValueError as error:
            message = f"squeue's record of job {job_id} cannot be read: {error}"
            return SlurmError(message[:300], reason=FailureReason.MALFORMED)


def _check_cluster(record: Mapping[str, Any], cluster: str) -> None:
    other = record.get("cluster")
    if other == cluster:
        return
    if not isinstance(other, str) or not other:
        message = "squeue's record names no cluster"
        raise SlurmError(message, reason=FailureReason.MALFORMED)
    raise wrong_cluster("squeue", other, cluster)
