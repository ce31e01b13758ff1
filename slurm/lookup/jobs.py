"""Looks up jobs with the cheapest correct source, and with the next one where that fails.

`slurm.release` says which source that is. When JSON fails in any way, text is used, and
JSON is tried again after a while. When the text about a job may be forged, JSON about this job is
used; without JSON, the job is reported with its hosts alone. When squeue itself fails, `scontrol`
is asked about single jobs. The record of one job never blocks another job.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from slurm.commands import SlurmCommands
from slurm.errors import FailureReason, SlurmError, excerpt
from slurm.job import Job
from slurm.lookup.cluster_facts import NodeGeometries
from slurm.lookup.json_source import JsonSource
from slurm.lookup.result import UNREADABLE, CallBudget, LookupResult, LookupTools, Target
from slurm.lookup.text_source import MAX_JOBS, SingleSource, TextResult, TextSource
from slurm.release import QueryMethod, ReleaseFeatures

MAX_CONFIRMED_JOBS = 8
"""The number of jobs missing from squeue that scontrol is asked about, too."""
PROBE_SECONDS = 10.0
"""The timeout of another source after one has timed out or failed."""
UNREACHABLE_PROBE_SECONDS = 3.0
"""The timeout of scontrol after squeue has said that the controller does not answer."""
SQUEUE_ASIDE_SECONDS = 60.0
"""The time for which scontrol is asked first after squeue has timed out."""
_FINAL = frozenset({FailureReason.CANCELLED, FailureReason.WRONG_CLUSTER})
_SILENT = frozenset({FailureReason.TIMEOUT, FailureReason.UNREACHABLE})
_log = logging.getLogger(__name__)


class FeatureDetector(Protocol):
    """A function that returns the features of the installed release."""

    def __call__(self, *, refresh: bool = False) -> ReleaseFeatures:
        """Return the features; `refresh`: read the release again first."""


@dataclass(frozen=True, slots=True)
class _Query:
    """The arguments of one call of `JobLookup.find`."""

    wanted: list[int]
    detect: FeatureDetector
    cluster: str
    states_only: Container[int]


class JobLookup:
    """Look-ups of job records by id. Use it in one thread only."""

    def __init__(
        self,
        commands: SlurmCommands,
        nodes: NodeGeometries,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._geometries = nodes
        self._clock = clock
        self._timeout_seconds = commands.timeout_seconds
        self._budget = CallBudget(clock)
        tools = LookupTools(commands, nodes, self._budget, clock)
        self._json, self._text = JsonSource(tools), TextSource(tools)
        self._single = SingleSource(tools)
        self._squeue_aside_until = float("-inf")
        self._squeue_warning: str | None = None
        self.is_rate_limited = False
        """Whether Slurm's rate limit is on."""

    def text(self, job_id: int) -> str | None:
        """Return scontrol's text about a job; None if the last call of `find` did not read it."""
        return self._text.texts.get(job_id)

    def warnings(self) -> tuple[str, ...]:
        """Return the problems that did not prevent finding the jobs."""
        found = (self._squeue_warning, self._json.warning)
        return tuple(warning for warning in found if warning is not None)

    def forget(self) -> None:
        """Forget what was learned about the commands, because their release changed."""
        self._json.forget()
        self._geometries.forget()
        self._squeue_aside_until = float("-inf")

    def find(
        self,
        wanted: list[int],
        detect: FeatureDetector,
        *,
        cluster: str,
        states_only: Container[int] = (),
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records; unknown job ids are absent.

        Of jobs in `states_only` cores and GRES are left out where they would cost a process each.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        self._text.texts = {}
        query = _Query(wanted, detect, cluster, states_only)
        aside = self._while_aside(query)
        if aside is not None:
            return aside.jobs
        try:
            found = self._by_squeue(query)
        except SlurmError as error:
            if error.reason in _FINAL:
                raise
            return self._instead_of_squeue(query, error).jobs
        self._squeue_warning = None
        self._by_single_where_unreadable(found, cluster)
        self._confirm_missing(found, query)
        return found.jobs

    # squeue

    def _by_squeue(self, query: _Query) -> LookupResult:
        """Return the jobs from squeue; ask again if it turns out to be of another release."""
        features = query.detect()
        try:
            return self._ask_squeue(query, features)
        except SlurmError as error:
            if error.reason in _FINAL | _SILENT:
                raise
            # The release is detected once and kept. An answer that cannot be read is the sign of an
            # upgrade under a running drain.
            newer = query.detect(refresh=True)
            if newer == features:
                raise
        return self._ask_squeue(query, newer)

    def _ask_squeue(self, query: _Query, features: ReleaseFeatures) -> LookupResult:
        target = Target(features, query.cluster)
        single = [
            job_id
            for job_id in query.wanted
            if features.few_jobs is not QueryMethod.TEXT or job_id not in query.states_only
        ]
        method = self._choose_method(len(single), features)
        if method is QueryMethod.TEXT or not self._json.is_usable:
            return self._by_text(query.wanted, target, states_only=query.states_only)
        try:
            found = self._json.find(query.wanted, method, target)
        except SlurmError as error:
            if error.reason in _FINAL | {FailureReason.UNREACHABLE}:
                raise
            return self._instead_of_json(query, target, error)
        if self._json.is_of_other_release(features):
            newer = query.detect(refresh=True)
            if newer != features:
                return self._ask_squeue(query, newer)
        not_understood = found.failed()
        if not_understood:
            found.add(self._by_text(not_understood, target, json=False))
        return found

    def _choose_method(self, count: int, features: ReleaseFeatures) -> QueryMethod:
        """Return the method for few jobs if it is cheaper and in the rate limit, else for many."""
        if features.few_jobs is features.many_jobs:
            return features.few_jobs
        processes = count + (features.few_jobs is QueryMethod.TEXT)  # plus one squeue
        # Measured, not assumed: on a busy controller both grow, and the cheaper one may change.
        is_costlier = processes * self._text.single_seconds > self._json.listing_seconds
        if is_costlier or (self.is_rate_limited and count > self._budget.remaining()):
            return features.many_jobs
        return features.few_jobs

    def _instead_of_json(self, query: _Query, target: Target, error: SlurmError) -> LookupResult:
        """Repeat the query if the release has changed; else return jobs by text and pause JSON."""
        has_hung = error.reason is FailureReason.TIMEOUT
        newer = target.features if has_hung else query.detect(refresh=True)
        if newer != target.features:
            return self._ask_squeue(query, newer)
        found = self._by_text(
            query.wanted, self._probing(target) if has_hung else target, json=False
        )
        self._json.record_failure(error)
        return found

    def _by_text(
        self,
        wanted: Sequence[int],
        target: Target,
        *,
        json: bool = True,
        states_only: Container[int] = (),
    ) -> LookupResult:
        """Return the jobs by text; with `json`, complete them by JSON where text is not enough."""
        # Without the plugin each attempt would start a process in vain.
        may_use_json = json and not self._json.is_missing
        try:
            found = self._text.find(wanted, target, states_only=states_only)
        except SlurmError as error:
            if error.reason not in UNREADABLE:
                raise
            by_json = self._try_json(wanted, target) if may_use_json else None
            if by_json is None:
                raise
            return by_json
        return self._complete(found, target, json=may_use_json)

    def _complete(self, found: TextResult, target: Target, *, json: bool) -> LookupResult:
        """Return the jobs read by text; add by JSON the records, cores and GRES that it lacks."""
        without = sorted({*found.failed(), *found.untrusted, *found.failed_detail})
        by_json = self._try_json(without, target) if without and json else None
        jobs = {} if by_json is None else by_json.jobs
        known = {job_id: job for job_id, job in jobs.items() if isinstance(job, Job)}
        for job_id, why in found.untrusted.items():
            if job_id not in known:
                text = "job=%d is reported without cores and GRES, because %s"
                _log.warning(text, job_id, excerpt(why))
        return LookupResult(jobs={**found.jobs, **found.failed_detail, **known})

    def _try_json(self, wanted: Sequence[int], target: Target) -> LookupResult | None:
        """Return some jobs by JSON; None if it fails, which is recorded."""
        if not self._json.is_usable:
            target = self._probing(target)
        try:
            return self._json.find(wanted, QueryMethod.JSON_ALL, target)
        except SlurmError as error:
            if error.reason in _FINAL:
                raise
            self._json.record_failure(error)
            return None

    def _probing(self, target: Target) -> Target:
        """Return the look-up's target with a short timeout: another source has just failed."""
        return target._replace(timeout_seconds=min(PROBE_SECONDS, self._timeout_seconds))

    # scontrol

    def _while_aside(self, query: _Query) -> LookupResult | None:
        """Return the jobs by scontrol if squeue has just timed out; None: ask squeue again."""
        if self._clock() >= self._squeue_aside_until or len(query.wanted) > MAX_JOBS:
            return None
        hung = SlurmError("squeue timed out recently", reason=FailureReason.TIMEOUT)
        try:
            return self._single.find(query.wanted, query.cluster, hung)
        except SlurmError:
            self._squeue_aside_until = float("-inf")
            return None

    def _instead_of_squeue(self, query: _Query, error: SlurmError) -> LookupResult:
        """Return the jobs by scontrol where squeue fails.

        Raises:
            SlurmError: (that of squeue) scontrol fails too.
        """
        # squeue says that the controller does not answer: a short timeout is enough to confirm it
        is_silent = error.reason is FailureReason.UNREACHABLE
        seconds = UNREACHABLE_PROBE_SECONDS if is_silent else PROBE_SECONDS
        try:
            found = self._single.find(query.wanted, query.cluster, error, timeout_seconds=seconds)
        except SlurmError:
            raise error from None
        if error.reason is FailureReason.TIMEOUT:
            # A squeue that hangs costs its whole timeout each time; scontrol answers meanwhile.
            self._squeue_aside_until = self._clock() + SQUEUE_ASIDE_SECONDS
        warning = f"squeue failed, so scontrol is used instead: {excerpt(str(error))}"
        if self._squeue_warning is None:
            _log.warning("%s", warning)
        self._squeue_warning = warning
        return found

    def _by_single_where_unreadable(self, found: LookupResult, cluster: str) -> None:
        """Ask scontrol about a few jobs whose squeue records cannot be read; add its answers."""
        for job_id in found.failed()[:MAX_CONFIRMED_JOBS]:
            error = found.jobs[job_id]
            if isinstance(error, SlurmError) and error.reason in UNREADABLE:
                try:
                    found.add(self._single.find([job_id], cluster, error))
                except SlurmError:
                    return

    def _confirm_missing(self, found: LookupResult, query: _Query) -> None:
        """Ask scontrol about the jobs that squeue does not list, if few; add those it knows."""
        left_out = [i for i in query.wanted if i not in found.jobs]
        may_ask = not self.is_rate_limited or len(left_out) <= self._budget.remaining()
        if not left_out or len(left_out) > MAX_CONFIRMED_JOBS or not may_ask:
            return
        silent = SlurmError("scontrol does not answer", reason=FailureReason.UNREACHABLE)
        try:
            other = self._single.find(left_out, query.cluster, silent)
        except SlurmError:
            return
        # Only positive answers count: "unknown" from scontrol as well leaves the job absent.
        shown: dict[int, Job | SlurmError] = {
            job_id: job for job_id, job in other.jobs.items() if isinstance(job, Job)
        }
        if shown:
            _log.warning("jobs missing from squeue were read from scontrol: %s", sorted(shown))
        found.jobs |= shown
