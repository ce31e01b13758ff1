"""The lines of `cc-spool status`, from its document and the drain's state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slurm.type_names import Any
from spool.checks.waiting import STUCK_SECONDS, recent_deliveries, server_text, waiting_line
from spool.commands.drain_view import DrainView
from spool.console import Colour
from spool.errors import ACCESS_HINT
from spool.escaping import escape
from spool.files.drain_state import HealthState
from spool.files.node_round import NodeRound, left_out_texts
from spool.files.sweep_state import FIRST_SWEEP, SweepSummary, read_sweep_summary
from spool.formatting import (
    format_age,
    format_drift,
    format_duration,
    format_table,
    format_time,
    pluralize,
)

HALTED, REFUSED = "HALTED", "REFUSED"
NO_DRAIN, NO_SERVER = "no drain is running", "cc-backend has given no answer"
COLOURS = dict.fromkeys((HALTED, REFUSED, NO_DRAIN, NO_SERVER), Colour.RED)


def status_lines(document: dict[str, Any], view: DrainView, now: float) -> Iterator[str]:
    """Yield the lines about cc-backend, Slurm, the drain, the pending runs and the token."""
    yield from _head_lines(document, view, now)
    if view.is_running or view.state.once:
        yield from _waiting_lines(view, now)
        yield from _trouble_lines(view, now)
    yield ""
    yield from _age_table(document, now)
    yield ""
    if view.state.unreported:
        runs = pluralize(view.state.unreported, "run")
        yield (
            f"{runs} deliberately not reported; `cc-spool list open --reason 'not reported'` shows"
            " why"
        )
    yield _token_line(document["token"], now)


def _head_lines(document: dict[str, Any], view: DrainView, now: float) -> Iterator[str]:
    """Yield cc-backend and Slurm with their versions, the last delivery, and the drain."""
    state = view.state
    yield f"cc-backend {document['server_url']}, {escape(server_text(state))}"
    yield f"cluster {document['cluster']}, Slurm {escape(state.slurm_release or 'release unknown')}"
    if state.last_delivery is None:
        yield "no delivery yet"
    else:
        when = f"{format_time(state.last_delivery)} ({format_age(state.last_delivery, now)} ago)"
        count = f"; deliveries: {recent_deliveries(state, now)}" if view.is_running else ""
        yield f"last delivery {when}{count}"
    yield _drain_line(view, now)


def _drain_line(view: DrainView, now: float) -> str:
    state = view.state
    if not view.is_running:
        last = f"; last seen {format_time(state.updated)}" if state.updated else ""
        sure = (
            NO_DRAIN
            if view.lock == "free"
            else f"it is unknown whether a drain is running: its lock is unreadable; {ACCESS_HINT}"
        )
        return sure + last
    who = f"process {view.pid}" if view.pid else "process id unknown"
    alive = f", state updated {format_age(state.updated, now)} ago" if state.updated else ""
    return f"drain {escape(state.version or 'of unknown version')} is running ({who}{alive})"


def _waiting_lines(view: DrainView, now: float) -> Iterator[str]:
    """Yield the causes for which runs wait."""
    state = view.state
    if state.due_since is not None and now - state.due_since >= STUCK_SECONDS:
        since = format_time(state.due_since)
        yield f"nothing has been delivered since {since}, although runs are due"
    for cause in state.waiting:
        yield escape(f"waiting: {waiting_line(cause, now)}")


def _trouble_lines(view: DrainView, now: float) -> Iterator[str]:
    """Yield the problems that prevent deliveries."""
    state = view.state
    yield from _health_lines(view, now)
    if state.slurm_silent_since is not None:
        why = f": {escape(state.slurm_reason)}" if state.slurm_reason else ""
        yield f"Slurm has not answered since {format_time(state.slurm_silent_since)}{why}"
    if state.accounting_silent_since is not None:
        since = format_time(state.accounting_silent_since)
        yield f"Slurm's accounting has not answered since {since}; check slurmdbd"
    if state.disk_full:
        why = f": {escape(state.disk_reason)}" if state.disk_reason else ""
        yield f"the drain cannot write to the spool{why}"
    if state.unreadable_count:
        yield f"{pluralize(state.unreadable_count, 'file')} in the spool cannot be read:"
    for file in state.unreadable:
        yield f"  {escape(file.name)}: {escape(file.reason)}"
    for warning in state.warnings:
        yield f"warning: {escape(warning)}"
    if state.polling_reason:
        why = escape(state.polling_reason)
        yield (
            f"inotify cannot be used ({why}): new/ is polled, which takes more CPU time; check the"
            " limits fs.inotify.max_user_instances and max_user_watches (sysctl)"
        )


def _health_lines(view: DrainView, now: float) -> Iterator[str]:
    state = view.state
    reports = [("", state.health)]
    if state.health.state is HealthState.UP:
        reports = [(" to starts", state.starts), (" to stops", state.stops)]
    words = {HealthState.HALTED: HALTED, HealthState.DOWN: NO_SERVER}
    for what, health in reports:
        if health.state in words:
            said = f"{words[health.state]}{what} since {format_time(health.since)}"
            yield f"{said}: {escape(health.reason)}"
    at = state.health.next_try if view.is_halted or view.is_down else state.next_attempt
    if at is not None:
        yield f"next attempt {format_time(at)} (in {format_duration(at - now)})"


def _age_table(document: dict[str, Any], now: float) -> Iterator[str]:
    *bounds, older = next(iter(document["ages"].values()))
    head = ["directory", "files", "oldest", *(f"<{minutes}m" for minutes in bounds), older]
    rows: list[list[object]] = [
        [name, document["counts"][name], format_age(oldest, now), *ages.values()]
        for (name, ages), oldest in zip(
            document["ages"].items(), document["oldest"].values(), strict=True
        )
    ]
    yield from format_table([head, *rows])
    if document["counts"]["tmp"]:
        yield f"{pluralize(document['counts']['tmp'], 'file')} being written in tmp/"


def _token_line(token: dict[str, Any], now: float) -> str:
    if token["problem"]:
        return f"token ({token['source']}): {token['problem']}"
    if token["expires_at"] is None:
        return f"token ({token['source']}) does not expire"
    left = token["expires_at"] - now
    words = (
        f"expires in {format_duration(left)}"
        if left > 0
        else f"expired {format_duration(-left)} ago"
    )
    return f"token ({token['source']}) {words}"


def sweep_line(state_directory: Path, now: float) -> str:
    """Return the line about the last sweep."""
    try:
        summary = read_sweep_summary(state_directory)
    except ValueError as error:
        return escape(f"last sweep: {error}", 1000)
    return "no sweep has run" if summary is None else _summary_line(summary, now)


def _summary_line(summary: SweepSummary, now: float) -> str:
    when = (
        "did not finish"
        if summary.finished is None
        else f"ended {format_age(summary.finished, now)} ago"
    )
    found = format_drift(summary.drift, is_refused=bool({*summary.guards} - {FIRST_SWEEP}))
    why = f": {', '.join(summary.guards)}" if summary.guards else ""
    refused = f"; {REFUSED}{why}" if summary.refused else ""
    return escape(f"last sweep {when}: {found}{refused}", 1000)


def node_lines(last: NodeRound | None, now: float, interval: float) -> Iterator[str]:
    """Yield the lines about the last round of node states, or that they are not reported."""
    if not interval and last is None:
        yield "node states are not reported (nodes.interval_seconds is 0)"
    if last is None:
        return
    if last.unsupported:
        yield escape(f"node states: {last.problem}")
    if last.accepted is not None:
        states = ", ".join(f"{word} {count}" for word, count in last.states.items())
        when = f"{format_time(last.accepted)} ({format_age(last.accepted, now)} ago)"
        yield f"node states of {pluralize(last.nodes, 'node')} reported {when}: {escape(states)}"
        if last.left_out:
            yield escape(f"left out of the node states: {', '.join(left_out_texts(last.left_out))}")
    if last.problem and not last.unsupported:
        rounds = pluralize(last.failures, "failed report")
        yield escape(
            f"node states: {rounds}, the last at {format_time(last.tried)}: {last.problem}", 1000
        )
