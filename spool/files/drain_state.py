"""The drain's state file `drain.json`: one typed value, written and read only here.

The file may be old, damaged or of another version: an unexpected field gets its default, which
means *not known*. Instants are Unix seconds.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from dataclasses import field, replace
from enum import StrEnum
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from slurm.type_names import TYPE_CHECKING, Any
from spool.errors import BadFileError
from spool.files.drain_counters import DrainCounters, drain_counters
from spool.files.state_files import write_json
from spool.files.state_values import count, instant, list_in, object_in, text, whole_number

if TYPE_CHECKING:
    from spool.files.system_calls import SystemCalls

# The age at which a pass writes an unchanged state again. `check` warns after 60 s, and the next
# pass of a quiet drain may be 45 s later (QUIET_SECONDS).
REFRESH_SECONDS = 5.0
FIGURES_SECONDS = 1.0
MAX_UNREADABLE = 20
HALT_HINT = (
    "correct what the reason names; deliveries then resume within a minute, or at once after a"
    " change of token or configuration"
)
_FIGURE = {"is_figure": True}


class HealthState(StrEnum):
    """The health of cc-backend: up, down (retried with backoff), or halted by an error."""

    UP = "up"
    DOWN = "down"
    HALTED = "halted"


@light_dataclass
class HealthReport:
    """The health of cc-backend or of one connection to it, since when, why, and the next try.

    `code` is the reason in one word, `token_refused` for example.
    """

    state: HealthState | None = None
    since: float | None = None
    reason: str = ""
    code: str = ""
    next_try: float | None = None


@light_dataclass
class WaitingCause:
    """Runs that wait for the same cause: their number, and since when the first one waits."""

    cause: str
    count: int
    since: float | None = None


@light_dataclass
class UnreadableFile:
    """A file of the spool (`todo/5-100.json`) that cannot be read now, with the reason."""

    name: str
    reason: str


@light_dataclass
class DrainState:
    """The state of the drain, and of cc-backend and Slurm as the drain sees them.

    `version` is that of the program, `server_version` and `server_dialect` those of cc-backend.
    `once`: this drain ends by itself (`drain --once`, from cron). `slurm_reason` is the line that
    Slurm printed when it failed. `inquiries` counts the job ids to ask Slurm about, `unreported`
    the runs that are deliberately not reported, `held_stops` the stops that wait for cc-backend's
    job cache. `due_since` is since when requests are due and none is delivered. `warnings` are
    lines that `check` shows. `polling_reason` is why inotify cannot be used: `new/` is polled.
    """

    pid: int | None = None
    started: float | None = None
    updated: float | None = field(default=None, metadata=_FIGURE)
    once: bool = False
    version: str | None = None
    health: HealthReport = field(default=HealthReport(), metadata=_FIGURE)
    starts: HealthReport = field(default=HealthReport(), metadata=_FIGURE)
    stops: HealthReport = field(default=HealthReport(), metadata=_FIGURE)
    server_version: str | None = None
    server_dialect: str | None = None
    slurm_release: str | None = None
    slurm_silent_since: float | None = None
    slurm_reason: str = ""
    accounting_silent_since: float | None = None
    disk_full: bool = False
    disk_reason: str = ""
    inquiries: int = field(default=0, metadata=_FIGURE)
    unreported: int = field(default=0, metadata=_FIGURE)
    held_stops: int = field(default=0, metadata=_FIGURE)
    waiting: tuple[WaitingCause, ...] = field(default=(), metadata=_FIGURE)
    unreadable: tuple[UnreadableFile, ...] = ()
    unreadable_count: int = 0
    last_event: float | None = field(default=None, metadata=_FIGURE)
    last_delivery: float | None = field(default=None, metadata=_FIGURE)
    deliveries_last_hour: int = field(default=0, metadata=_FIGURE)
    due_since: float | None = field(default=None, metadata=_FIGURE)
    next_attempt: float | None = field(default=None, metadata=_FIGURE)
    warnings: tuple[str, ...] = ()
    polling_reason: str = ""
    counters: DrainCounters = field(default=DrainCounters(), metadata=_FIGURE)


_NEWS = tuple(each.name for each in dataclasses.fields(DrainState) if not each.metadata)


class DrainStateFile:
    """The writer of `drain.json`: figures (counts, times) once a second, other changes at once."""

    def __init__(self, path: Path, *, system_calls: SystemCalls = os) -> None:
        self._path = path
        self._system_calls = system_calls
        self._last: DrainState | None = None
        self._last_news: tuple[object, ...] = ()
        self._written_at = self._change_written_at = 0.0
        self._last_write_failed = False
        self.is_behind = False
        """Whether a change is not in the file: too soon after the last one, or the write failed."""

    def may_write(self, now: float) -> bool:
        """Return whether figures that have changed would be written now."""
        # Not the time of a mere refresh, or a change would be written a second later, for which the
        # drain would have to wake up.
        return not 0 <= now - self._change_written_at < FIGURES_SECONDS

    def write(self, state: DrainState, now: float, *, at_once: bool = False) -> None:
        """Write the state if it changed or the file is old, or `at_once`; log errors."""
        news = _news(state)
        is_news = news != self._last_news
        is_same = state == self._last and not self._last_write_failed
        # A negative age: the clock was set back. Then the file is written, not left for hours.
        is_fresh = (
            0 <= now - self._written_at < REFRESH_SECONDS if is_same else not self.may_write(now)
        )
        if is_fresh and not (is_news or at_once):
            self.is_behind = not is_same
            return
        self._last, self._last_news, self._written_at = state, news, now
        if not is_same:
            self._change_written_at = now
        # No fsync for figures: they change each second, and after a power cut older ones will do.
        document = _to_document(replace(state, updated=now))
        durable = is_news or self._last_write_failed
        self.is_behind = self._last_write_failed = False
        try:
            write_json(self._path, document, durable=durable, system_calls=self._system_calls)
        except OSError as error:
            self.is_behind = self._last_write_failed = True
            logging.getLogger(__name__).warning("%s cannot be written: %s", self._path, error)


def read_drain_state(path: Path) -> DrainState | None:
    """Return the state that a drain wrote last; None if no drain has ever run.

    Raises:
        BadFileError: the file is damaged.
        OSError: it cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise BadFileError(str(path), f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadFileError(str(path), "not a JSON object")
    return _from_document(document)


def _news(state: DrainState) -> tuple[object, ...]:
    """Return the values whose change is written at once; figures change too often for that."""
    conditions = state.health, state.starts, state.stops
    return (
        *(getattr(state, name) for name in _NEWS),
        # Not since when and the next try: while cc-backend is down they change with each probe, and
        # written durably each time they would cost an fsync a second.
        *((each.state, each.reason, each.code) for each in conditions),
        *(each.cause for each in state.waiting),
    )


def _to_document(state: DrainState) -> dict[str, Any]:
    document = dataclasses.asdict(replace(state, unreadable=state.unreadable[:MAX_UNREADABLE]))
    server = {"version": document.pop("server_version"), "dialect": document.pop("server_dialect")}
    return document | {"server": server if any(server.values()) else None}


def _from_document(document: dict[str, Any]) -> DrainState:
    server = object_in(document.get("server"))
    return DrainState(
        pid=whole_number(document.get("pid")),
        started=instant(document.get("started")),
        updated=instant(document.get("updated")),
        once=document.get("once") is True,
        version=text(document.get("version")),
        health=_health(document.get("health") or _health_of_version_0_1(document)),
        starts=_health(document.get("starts")),
        stops=_health(document.get("stops")),
        server_version=text(server.get("version")),
        server_dialect=text(server.get("dialect")),
        slurm_release=text(document.get("slurm_release")),
        slurm_silent_since=instant(document.get("slurm_silent_since")),
        slurm_reason=text(document.get("slurm_reason")) or "",
        accounting_silent_since=instant(document.get("accounting_silent_since")),
        disk_full=document.get("disk_full") is True,
        disk_reason=text(document.get("disk_reason")) or "",
        inquiries=count(document.get("inquiries")),
        unreported=count(document.get("unreported")),
        held_stops=count(document.get("held_stops")),
        waiting=_waiting(document),
        unreadable=_unreadable(document.get("unreadable")),
        unreadable_count=count(document.get("unreadable_count")),
        last_event=instant(document.get("last_event")),
        last_delivery=instant(document.get("last_delivery")),
        deliveries_last_hour=count(document.get("deliveries_last_hour")),
        due_since=instant(document.get("due_since")),
        next_attempt=instant(document.get("next_attempt")),
        warnings=tuple(filter(None, map(text, list_in(document.get("warnings"))))),
        polling_reason=text(document.get("polling_reason")) or "",
        counters=drain_counters(document.get("counters")),
    )


def _health(value: Any) -> HealthReport:
    found = object_in(value)
    word = found.get("state")
    return HealthReport(
        state=next((state for state in HealthState if state == word), None),
        since=instant(found.get("since")),
        reason=text(found.get("reason")) or "",
        code=text(found.get("code")) or "",
        next_try=instant(found.get("next_try")),
    )


def _health_of_version_0_1(document: dict[str, Any]) -> dict[str, Any]:
    """Return the health from the key of version 0.1: `destination`."""
    old = object_in(document.get("destination"))
    is_up = old.get("health") == HealthState.UP
    next_try = None if is_up else old.get("next_probe")
    return {**old, "state": old.get("health"), "next_try": next_try}


def _waiting(document: dict[str, Any]) -> tuple[WaitingCause, ...]:
    if old := count(document.get("unknown_hosts")):  # the key of version 0.1
        return (WaitingCause(cause="hosts that are unknown to cc-backend", count=old),)
    return tuple(
        WaitingCause(
            cause=cause, count=count(found.get("count")), since=instant(found.get("since"))
        )
        for found in map(object_in, list_in(document.get("waiting")))
        if (cause := text(found.get("cause")))
    )


def _unreadable(value: Any) -> tuple[UnreadableFile, ...]:
    return tuple(
        UnreadableFile(name=name, reason=text(found.get("reason")) or "")
        for found in map(object_in, list_in(value))
        if (name := text(found.get("name")))
    )
