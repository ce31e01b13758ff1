"""Check that events arrive, because a hook in slurm.conf does not necessarily run.

Up to Slurm 23.02 slurmctld takes PrologSlurmctld and EpilogSlurmctld into its configuration at
`scontrol reconfigure`, but runs them only if they were set when it started.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from slurm.decode.job_rows import SqueueRow
from slurm.decode.release_text import parse_release_number
from slurm.decode.scontrol_config import AS_OF, config_time
from slurm.errors import SlurmError
from slurm.release import Release
from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.config.schema import SpoolKeys
from spool.errors import BadFileError, SpoolError
from spool.files.drain_state import read_drain_state
from spool.files.layout import Directory, Layout
from spool.files.state_files import DRAIN_STATE_FILE
from spool.formatting import format_duration

RECONFIGURE_STARTS_HOOKS = Release(23, 11)
GRACE_SECONDS = 60.0
"""The longest delay of an event; a start time may move by ResumeTimeout in addition."""

_HOOK_EVENTS = ("1-start-", "1-stop-")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvents:
    """The time of the last event (None: not known); no event since `watched_since` was missed."""

    last: float | None
    watched_since: float = 0.0


def seen_events(spool: SpoolKeys) -> SeenEvents:
    """Return the last event from the drain's state and from `new/`."""
    state = None
    with suppress(BadFileError, OSError):
        state = read_drain_state(spool.state_directory / DRAIN_STATE_FILE)
    known = [state.last_event] if state and state.last_event is not None else []
    with suppress(SpoolError, OSError), Layout(spool.directory) as layout:
        known += _event_times(layout)
    watched_since = state.started if state else None
    return SeenEvents(last=max(known, default=None), watched_since=watched_since or 0.0)


def check_last_event(
    events: SeenEvents, jobs: Iterable[SqueueRow], config: Mapping[str, Sequence[str]]
) -> CheckResult:
    """Return the result for jobs that started since slurmctld's start without a hook's event.

    Args:
        events: the last one that arrived.
        jobs: all in the controller's memory.
        config: of `scontrol show config`, with the controller's clock.
    """
    now = _time(config, AS_OF) or time.time()
    since: float = _time(config, "BOOT_TIME") or 0
    if events.last is None:
        since = max(since, events.watched_since)
    started = [job for job in jobs if job.nodes and since < (job.start_time or 0)]
    judged = [job for job in started if (job.start_time or 0) <= now - GRACE_SECONDS]
    youngest = max(judged, key=lambda job: job.start_time or 0, default=None)
    age = None if events.last is None else format_duration(now - events.last)
    if youngest is None or _is_seen(youngest, events, config):
        return passed("last event", f"arrived {age} ago" if age else "none yet, none was expected")
    start_age = format_duration(now - (youngest.start_time or 0))
    came = f"the last event arrived {age} ago" if age else "no event has arrived"
    text = f"job {youngest.job_id} started {start_age} ago, but {came}: the hooks do not run"
    return finding(CheckStatus.WARNING, "last event", text, _hint(config))


def activation(config: Mapping[str, Sequence[str]]) -> str:
    """Return the step that activates hooks after they were added to slurm.conf."""
    release = None
    with suppress(SlurmError):
        release = parse_release_number(next(iter(config.get("SLURM_VERSION", ())), ""))
    if release is not None and release >= RECONFIGURE_STARTS_HOOKS:
        return "run `scontrol reconfigure`"
    return "restart slurmctld (up to Slurm 23.02 `scontrol reconfigure` does not activate hooks)"


def is_active_controller(
    controllers: Sequence[tuple[str, str, bool]], host: str | None = None
) -> bool:
    """Return whether this host is the active controller, or this is not known."""
    active = next((name for _, name, is_up in controllers if is_up), None)
    own = (host or socket.gethostname()).partition(".")[0]
    return len(controllers) <= 1 or active is None or active.partition(".")[0] == own


def _is_seen(job: SqueueRow, events: SeenEvents, config: Mapping[str, Sequence[str]]) -> bool:
    """Return whether the last event may be that of a job: its start time can move after it."""
    if events.last is None:
        return False
    resume = re.match(r"[0-9]+", next(iter(config.get("ResumeTimeout", ())), ""))
    slack = GRACE_SECONDS + (int(resume[0]) if resume else 0)
    return events.last >= (job.start_time or 0) - slack


def _time(config: Mapping[str, Sequence[str]], name: str) -> int | None:
    return config_time({name: tuple(config.get(name, ()))}, name)


def _hint(config: Mapping[str, Sequence[str]]) -> str:
    return f"{activation(config)}; check slurmctld's log, and the permissions of new/"


def _event_times(layout: Layout) -> Iterator[float]:
    """Yield when the events in `new/` were written."""
    for name in layout.names(Directory.NEW):
        if name.startswith(_HOOK_EVENTS):
            with suppress(FileNotFoundError):
                yield layout.mtime(Directory.NEW, name)
