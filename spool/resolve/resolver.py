"""Ask Slurm about job ids that have waiting events or doubtful runs, in batches, not too often.

Slurm not answering counts against nobody: everything stays, and the next look comes later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from slurm.errors import SlurmError
from slurm.job import Job
from spool.escaping import escape
from spool.files.event import Event, Kind
from spool.resolve.account import Account, Knowledge, Question, Tracked, account
from spool.resolve.slurm_runs import Stage

FIRST_LOOK_SECONDS = 0.04  # Slurm has the truth about 40 ms after a hook began (measured)
LONGEST_CONFIGURING_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 300.0
LONGEST_SILENCE_SECONDS = 30.0
WARN_CONFIGURING_SECONDS = 3600.0
BATCH = 1000
_log = logging.getLogger(__name__)


class Controller(Protocol):
    """What the resolver asks of Slurm; `slurm.client.Slurm` answers."""

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records; an id it does not know is absent.

        Of those in `states_only` cores and GRES may be left out.
        """

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of these ids that accounting has in a window; () without accounting."""


@dataclass(slots=True)
class _Inquiry:
    """A job id to be looked at: its events and when."""

    job_id: int
    next_look: float
    events: dict[str, Event] = field(default_factory=dict)
    looks: int = 0
    since: float = 0.0
    warned: bool = False


class Resolver:
    """Keeps the inquiries; belongs to one thread. Times are Unix seconds."""

    def __init__(self, slurm: Controller) -> None:
        self._slurm = slurm
        self._inquiries: dict[int, _Inquiry] = {}
        self._silent_since: float | None = None
        self._silences = 0
        self._next_try = 0.0

    def __len__(self) -> int:
        return len(self._inquiries)

    @property
    def silent_since(self) -> float | None:
        """Return since when Slurm has not answered; None when it does."""
        return self._silent_since

    def add(self, events: Iterable[Event], now: float) -> None:
        """Take in new events; one from the future (a clock was set back) counts as of now."""
        for event in events:
            inquiry = self._inquiry(event.job_id, min(event.time, now) + FIRST_LOOK_SECONDS)
            inquiry.events[event.name] = event

    def doubt(self, job_id: int, now: float) -> None:
        """Ask about a job id of which an open run may be over."""
        self._inquiry(job_id, now)

    def next_time(self) -> float | None:
        """Return when to call `look` next; None if there is nothing to ask."""
        times = [inquiry.next_look for inquiry in self._inquiries.values()]
        return max(min(times), self._next_try) if times else None

    def look(
        self, now: float, tracked: Callable[[int], tuple[Tracked, ...]]
    ) -> list[tuple[Question, Account, Job | None]]:
        """Ask Slurm about what is due; return what follows for each job id that was answered.

        The record is given back for its facts. `tracked` tells the runs of a job id that are known.
        """
        if now < self._next_try:
            return []
        due = sorted(i.job_id for i in self._inquiries.values() if i.next_look <= now)[:BATCH]
        if not due:
            return []
        questions = [self._question(job_id, tracked) for job_id in due]
        try:
            records = self._records(questions, now)
        except SlurmError as error:
            self._silence(now, error)
            return []
        self._answered(now)
        results = []
        for question in questions:
            record = records.get(question.job_id)
            if isinstance(record, SlurmError):
                self._postpone(question.job_id, now, record)
                continue
            results.append((question, record))
        return self._conclude(results, now)

    def _records(self, questions: list[Question], now: float) -> Mapping[int, Job | SlurmError]:
        """Return the records; one that turns out to be of a new run with all its facts.

        Raises:
            SlurmError: Slurm does not answer.
        """
        states_only = {question.job_id for question in questions if _is_about_an_end(question)}
        records = dict(self._slurm.jobs([q.job_id for q in questions], states_only=states_only))
        unknown = [
            question.job_id
            for question in questions
            if question.job_id in states_only and _shows_new_run(question, records, now)
        ]
        return records | dict(self._slurm.jobs(unknown)) if unknown else records

    def _conclude(
        self, answered: list[tuple[Question, Job | None]], now: float
    ) -> list[tuple[Question, Account, Job | None]]:
        """Account for each job id, with accounting's rows where the record is not enough."""
        first = [
            (question, account(question, Knowledge(record=record), now), record)
            for question, record in answered
        ]
        wanting = [question for question, result, _ in first if result.ask_accounting]
        rows = self._accounting(wanting, now) if wanting else ()
        results = []
        for question, result, record in first:
            final = result
            if result.ask_accounting and rows is not None:
                own = tuple(row for row in rows if row.job_id == question.job_id)
                final = account(question, Knowledge(record=record, rows=own), now)
            self._settle(question, final, now)
            results.append((question, final, record))
        return results

    def _accounting(self, questions: list[Question], now: float) -> tuple[Job, ...] | None:
        """Return accounting's rows for some job ids; None if it does not answer."""
        since = min(question.since() for question in questions)
        ids = [question.job_id for question in questions]
        try:
            return self._slurm.accounting(ids, since=since, until=int(now) + 1)
        except SlurmError as error:
            _log.warning("accounting does not answer: %s", escape(str(error)))
            return None

    def _settle(self, question: Question, result: Account, now: float) -> None:
        """Forget a job id that is accounted for, or say when to look at it again."""
        inquiry = self._inquiries[question.job_id]
        inquiry.events = {event.name: event for event in result.waiting}
        unsettled = result.stage in {Stage.CONFIGURING, Stage.UNSETTLED}
        if not inquiry.events and not result.vanished and not unsettled:
            del self._inquiries[question.job_id]
            return
        if unsettled:
            delay = min(
                FIRST_LOOK_SECONDS * 2.0 ** min(inquiry.looks, 20), LONGEST_CONFIGURING_SECONDS
            )
            self._warn_configuring(inquiry, now)
        else:
            delay = min(0.5 * 2.0 ** min(inquiry.looks, 20), LONGEST_WAIT_SECONDS)
        inquiry.looks += 1
        inquiry.next_look = now + delay

    def _warn_configuring(self, inquiry: _Inquiry, now: float) -> None:
        if not inquiry.warned and now - inquiry.since > WARN_CONFIGURING_SECONDS:
            inquiry.warned = True
            _log.warning("job=%d is configuring for more than an hour", inquiry.job_id)

    def _inquiry(self, job_id: int, look: float) -> _Inquiry:
        inquiry = self._inquiries.get(job_id)
        if inquiry is None:
            inquiry = self._inquiries[job_id] = _Inquiry(job_id, look, since=look)
        inquiry.next_look = look
        inquiry.looks = 0
        return inquiry

    def _question(self, job_id: int, tracked: Callable[[int], tuple[Tracked, ...]]) -> Question:
        """Return what to ask; a told run that the sweep names as missing counts as unknown."""
        events = sorted(self._inquiries[job_id].events.values(), key=lambda event: event.time)
        named = {event.start for event in events if event.extras.get("again") == "1"}
        runs = tuple(
            run for run in tracked(job_id) if run.end is None or run.start_time not in named
        )
        return Question(job_id=job_id, events=tuple(events), runs=runs)

    def _postpone(self, job_id: int, now: float, error: SlurmError) -> None:
        """Look later at one job whose record cannot be trusted; the others are not concerned."""
        inquiry = self._inquiries[job_id]
        if inquiry.looks == 0:
            _log.warning("job=%d is not readable: %s", job_id, escape(str(error)))
        inquiry.next_look = now + min(2.0 ** min(inquiry.looks, 20), LONGEST_WAIT_SECONDS)
        inquiry.looks += 1

    def _silence(self, now: float, error: SlurmError) -> None:
        if self._silent_since is None:
            self._silent_since = now
            _log.warning("Slurm does not answer: %s", escape(str(error)))
        self._silences += 1
        self._next_try = now + min(0.25 * 2.0 ** min(self._silences, 20), LONGEST_SILENCE_SECONDS)

    def _answered(self, now: float) -> None:
        if self._silent_since is not None:
            seconds = now - self._silent_since
            _log.info("Slurm answers again after %.0f s, %d tries", seconds, self._silences)
        self._silent_since = None
        self._silences = 0


def _is_about_an_end(question: Question) -> bool:
    """Tell whether the facts of the run in question are known, and only its end is not."""
    stops = all(event.kind is Kind.STOP for event in question.events)
    return stops and any(run.end is None for run in question.runs)


def _shows_new_run(question: Question, records: Mapping[int, Job | SlurmError], now: float) -> bool:
    record = records.get(question.job_id)
    return isinstance(record, Job) and bool(account(question, Knowledge(record=record), now).new)
