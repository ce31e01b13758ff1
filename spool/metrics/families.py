"""Make Prometheus' metric families from a snapshot. Pure.

Names begin with `cc_slurm_sync_`, units are seconds and bytes, labels have few values: never a
user, a job, a host or a free text. A value that is not known has no sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, InfoMetricFamily, Metric

from ccbackend.outcomes import Outcome
from spool import __version__
from spool.checks.last_sweep import needs_attention
from spool.deliver.pending_run import RequestKind
from spool.escaping import escape
from spool.files.drain_counters import LATENCY_BOUNDS, LatencyCounts
from spool.files.drain_state import HealthState
from spool.files.event import EventKind
from spool.files.node_round import NodeRound
from spool.metrics.samples import PREFIX, counters, gauge, gauges
from spool.metrics.snapshot import MetricsSnapshot

_EVENTS = {"hook": (EventKind.START, EventKind.STOP), "command": tuple(EventKind)}


def metric_families(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    """Yield all families, each with its samples."""
    yield from _program(snapshot)
    yield from _spool(snapshot)
    yield from _runs(snapshot)
    yield from _requests(snapshot)
    yield from _connections(snapshot)
    yield from _sweep(snapshot)
    yield from _node_states(snapshot)


def _program(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state = snapshot.drain
    build = InfoMetricFamily(
        f"{PREFIX}build", "Versions of this program, and of Slurm and cc-backend as last seen."
    )
    versions = {
        "version": __version__,
        "slurm": state.slurm_release or "",
        "cc_backend": state.server_version or "",
        "dialect": state.server_dialect or "",
    }
    build.add_metric([], {name: escape(version) for name, version in versions.items()})
    yield build
    yield gauge("metrics_timestamp_seconds", "When these metrics were written.", snapshot.time)
    yield gauges(
        "check_status",
        "Result of each check of `cc-spool check`: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        ["check"],
        {(name,): float(status) for name, status in snapshot.checks.items()},
    )
    yield gauge("drain_up", "Whether a drain is running.", float(snapshot.is_running))
    yield gauge(
        "drain_updated_timestamp_seconds", "Time of a drain's last state update.", state.updated
    )
    yield gauge(
        "token_expiry_timestamp_seconds",
        "Time when the token for cc-backend expires; absent if it does not expire.",
        snapshot.token_expires_at,
    )


def _spool(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state, figures = snapshot.drain, snapshot.directories
    yield gauges(
        "spool_files",
        "Files in the spool: events (new), pending runs (todo), started runs (open), dead letters"
        " (dead).",
        ["directory"],
        {(name,): float(each.count) for name, each in figures.items()},
    )
    yield gauges(
        "spool_oldest_timestamp_seconds",
        "When the oldest file of each directory began to wait.",
        ["directory"],
        {(name,): each.oldest for name, each in figures.items() if each.oldest is not None},
    )
    yield gauges(
        "dead_letters",
        "Dead letters by reason; `not_read`: there are too many to read all of them at once.",
        ["reason"],
        {(reason,): float(count) for reason, count in snapshot.dead_letters.items()},
    )
    yield gauge("spool_free_bytes", "Free space on the spool's disk.", snapshot.free_bytes)
    yield gauge("spool_free_inodes", "Free inodes on the spool's disk.", snapshot.free_inodes)
    yield gauge(
        "spool_min_free_bytes",
        "Value of spool.min_free_bytes: with less free space, no job scripts are stored.",
        snapshot.min_free_bytes,
    )
    is_current = snapshot.is_current
    yield gauge(
        "spool_writable",
        "Whether the drain can write to the spool.",
        float(not state.disk_full) if is_current else None,
    )
    yield gauge(
        "unreadable_files",
        "Files in the spool that cannot be read now.",
        state.unreadable_count if is_current else None,
    )


def _runs(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state = snapshot.drain
    current = state if snapshot.is_current else None
    waiting = sum(cause.count for cause in state.waiting)
    yield gauge(
        "waiting_runs",
        "Runs that wait until a problem, such as a host unknown to cc-backend, is solved.",
        waiting if current else None,
    )
    yield gauge(
        "unreported_runs",
        "Runs that are excluded and deliberately not reported.",
        current.unreported if current else None,
    )
    yield gauge(
        "held_stops",
        "Stops that wait for cc-backend to store the start.",
        current.held_stops if current else None,
    )
    yield gauge(
        "inquiries",
        "Job ids that are still to be looked up in Slurm.",
        current.inquiries if current else None,
    )
    yield gauge(
        "due_since_timestamp_seconds",
        "Since when requests have been due without any delivery; absent if none is due.",
        current.due_since if current else None,
    )
    yield gauge(
        "next_attempt_timestamp_seconds",
        "Time when the next pending request is due.",
        current.next_attempt if current else None,
    )
    yield gauge("last_event_timestamp_seconds", "Time of the hooks' last event.", state.last_event)
    yield gauge("last_delivery_timestamp_seconds", "Time of last delivery.", state.last_delivery)


def _requests(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    counted = snapshot.drain.counters
    yield counters(
        "events",
        "Events found in the spool, by source (hook, or command: sweep, replay, retry) and kind.",
        ["source", "kind"],
        {
            (source, str(kind)): counted.events.get(source, {}).get(kind, 0)
            for source, kinds in _EVENTS.items()
            for kind in kinds
        },
    )
    yield counters(
        "deliveries",
        "Answers to requests about runs, by request and outcome (delivered, retry, rejected ...).",
        ["request", "outcome"],
        {
            (str(kind), str(outcome)): counted.answers.get(kind, {}).get(outcome, 0)
            for kind in RequestKind
            for outcome in Outcome
        },
    )
    yield counters(
        "retries",
        "Requests that were sent again after a failure.",
        ["request"],
        {(str(kind),): counted.retries.get(kind, 0) for kind in RequestKind},
    )
    latency = HistogramMetricFamily(
        f"{PREFIX}hook_to_accepted_seconds",
        "Time from a hook's event until cc-backend accepted it; some stops wait on purpose.",
        labels=["request"],
    )
    for kind in (RequestKind.START, RequestKind.STOP):
        found = counted.latencies.get(kind, LatencyCounts())
        bounds = [*map(str, LATENCY_BOUNDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(found.counts), strict=True))
        latency.add_metric([str(kind)], buckets, sum_value=found.seconds)
    yield latency


def _connections(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state = snapshot.drain
    reports = {"server": state.health, "starts": state.starts, "stops": state.stops}
    known = {
        name: report
        for name, report in reports.items()
        if snapshot.is_current and report.state is not None
    }
    yield gauges(
        "backend_up",
        "Whether cc-backend answers (server), and accepts starts and stops.",
        ["connection"],
        {(name,): float(report.state is HealthState.UP) for name, report in known.items()},
    )
    yield gauges(
        "halted",
        "Whether deliveries are halted until an administrator acts, with the reason in one word.",
        ["connection", "reason"],
        {
            (name, report.code if is_halted else ""): float(is_halted)
            for name, report in known.items()
            for is_halted in [report.state is HealthState.HALTED]
        },
    )
    silences = {
        "controller": state.slurm_silent_since,
        "accounting": state.accounting_silent_since,
    }
    yield gauges(
        "slurm_up",
        "Whether slurmctld (controller) and slurmdbd (accounting) answered the last query.",
        ["source"],
        {(name,): float(since is None) for name, since in silences.items() if snapshot.is_current},
    )


def _sweep(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    last = snapshot.sweep
    drift = last.drift if last else {}
    refusals = last.refusals if last else {}
    yield gauge(
        "sweep_started_timestamp_seconds",
        "Start of the last sweep.",
        last.started if last else None,
    )
    yield gauge(
        "sweep_duration_seconds",
        "Duration of the last sweep; absent while one is running.",
        last.duration_seconds if last else None,
    )
    yield gauge(
        "sweep_last_success_timestamp_seconds",
        "When the last complete sweep ended (Unix time); one that refused to act does not count.",
        last.succeeded if last else None,
    )
    yield gauge(
        "sweep_refused",
        "Whether the last sweep refused to act or held back stops; `cc-sweep plan` shows why.",
        float(needs_attention(last)) if last else None,
    )
    yield gauge(
        "sweep_held_stops",
        "Stops that the last sweep held back for the next sweep.",
        last.held_stops if last else None,
    )
    yield gauges(
        "sweep_differences",
        "Differences that the last sweep found, by kind.",
        ["kind"],
        {(kind,): float(count) for kind, count in drift.items()},
    )
    yield counters(
        "sweep_refusals",
        "Sweeps in which a safety check failed, by check.",
        ["guard"],
        {(guard,): count for guard, count in refusals.items()},
    )


def _node_states(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    last = snapshot.nodes or NodeRound()
    yield gauges(
        "nodes",
        "Nodes in the last accepted report of node states, by state.",
        ["state"],
        {(state,): float(count) for state, count in last.states.items()},
    )
    yield gauges(
        "nodes_left_out",
        "Nodes that are missing from the last accepted report of node states, by reason.",
        ["reason"],
        {(reason,): float(count) for reason, count in last.left_out.items()},
    )
    yield gauge(
        "node_states_last_success_timestamp_seconds",
        "Time when cc-backend last accepted node states.",
        last.accepted,
    )
    yield gauge(
        "node_states_duration_seconds",
        "Duration of the last accepted report of node states.",
        None if last.accepted is None else last.seconds,
    )
    yield gauge(
        "node_states_failed_rounds",
        "Failed reports of node states since the last accepted one.",
        None if snapshot.nodes is None else last.failures,
    )
