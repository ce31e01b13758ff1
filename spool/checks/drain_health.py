"""The drain by its lock and its beacon: does it live, and what does it believe of both sides?

A belief is told only while the drain lives; what a dead one believed is history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    PerfData,
    age_text,
    finding,
    passed,
)

HEARTBEAT_WARNING_SECONDS = 60.0
HEARTBEAT_CRITICAL_SECONDS = 300.0  # systemd's watchdog would have ended it by now
_START_HINT = "`systemctl start cc-spool`; its log says why it ended"


def read_state(path: Path) -> Mapping[str, Any] | None:
    """Return the object in a state file; None: there is no such file.

    Damage is a finding here; `spool.commands.drain_state` takes what it can.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ValueError("nested beyond all bounds") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - damage of any kind is a ValueError
    return found


def unreadable(name: str, path: Path, error: Exception) -> CheckResult:
    """Return the result for state that cannot be read: nothing is known."""
    text = f"{path} cannot be read: {error}"
    return finding(CheckStatus.UNKNOWN, name, text, "run this as root or as the service's user")


def check_drain(
    state: Mapping[str, Any] | None,
    now: float,
    *,
    is_running: bool,
    limits: AgeLimits,
    before_first_start: bool = False,
) -> Iterator[CheckResult]:
    """Yield what the drain tells of itself.

    Args:
        state: `drain.json`; None if no drain has ever run.
        now: Unix seconds.
        is_running: whether the lock is held.
        limits: on the time that cc-backend or Slurm are away.
        before_first_start: a drain that has never run is to be started when all else is well.
    """
    if not is_running and state is None and before_first_start:
        yield finding(
            CheckStatus.WARNING, "drain", "has never run", "start it when all else is well"
        )
    elif not is_running and state is not None and state.get("once") is True:
        yield from _state_results(state, now, limits, _last_once)
    elif not is_running:
        last = _number(state, "updated")
        text = "is not running" + (f", last seen {age_text(now - last)} ago" if last else "")
        yield finding(CheckStatus.CRITICAL, "drain", text, _START_HINT)
    elif state is None:
        yield passed("drain", "has just begun")
    else:
        yield from _state_results(state, now, limits, _heartbeat)


def _state_results(
    state: Mapping[str, Any],
    now: float,
    limits: AgeLimits,
    check_life: Callable[[Mapping[str, Any], float, AgeLimits], CheckResult],
) -> Iterator[CheckResult]:
    try:
        results = (
            check_life(state, now, limits),
            _cc_backend(state, now, limits),
            _slurm(state, now, limits),
            _disk(state),
            _hosts(state),
        )
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        yield finding(
            CheckStatus.UNKNOWN, "drain", f"its state is not understood: {error!r}", _START_HINT
        )
        return
    yield from results


def _server_text(state: Mapping[str, Any]) -> str:
    """Return the server's version and dialect as the drain found them."""
    server = state.get("server")
    if not server:
        return "not asked yet"
    version = server.get("version") or "unknown"
    return f"version {version}, dialect {server.get('dialect')}"


def _last_once(state: Mapping[str, Any], now: float, limits: AgeLimits) -> CheckResult:
    """Return the verdict on a drain that cron starts and that ends by itself."""
    age = now - float(state["updated"])
    status = limits.status_at(age)
    hint = "" if status is CheckStatus.OK else "look after the cron line of `cc-spool drain --once`"
    return finding(status, "drain", f"ran once {age_text(age)} ago", hint)


def _heartbeat(state: Mapping[str, Any], now: float, _limits: AgeLimits) -> CheckResult:
    age = now - float(state["updated"])
    figure = PerfData(
        label="beacon_age",
        value=max(0.0, age),
        unit="s",
        warning=HEARTBEAT_WARNING_SECONDS,
        critical=HEARTBEAT_CRITICAL_SECONDS,
    )
    status = AgeLimits(
        warning_seconds=HEARTBEAT_WARNING_SECONDS, critical_seconds=HEARTBEAT_CRITICAL_SECONDS
    ).status_at(age)
    if status is not CheckStatus.OK:
        text = f"process {state.get('pid')} shows no sign of life for {age_text(age)}"
        hint = "a Slurm command or the disk may hang; if it stays so, restart the service"
        return finding(status, "drain", text, hint, figure)
    text = f"process {state.get('pid')} runs for {age_text(now - float(state['started']))}"
    return passed("drain", text, figure)


def _cc_backend(state: Mapping[str, Any], now: float, limits: AgeLimits) -> CheckResult:
    found = state["destination"]
    health, since, reason = found["health"], float(found["since"]), found["reason"]
    halted = PerfData(label="halted", value=float(health == "halted"), critical=1)
    if health == "halted":
        text = f"deliveries are halted for {age_text(now - since)}: {reason}"
        hint = (
            "they go on by themselves within 5 min, or at once when token or configuration change"
        )
        return finding(CheckStatus.CRITICAL, "cc-backend", text, hint, halted)
    if health == "down":
        text = f"is down for {age_text(now - since)}: {reason}"
        status = limits.status_at(now - since)
        hint = (
            "" if status is CheckStatus.OK else "look after cc-backend; nothing is lost meanwhile"
        )
        return finding(status, "cc-backend", text, hint, halted)
    return passed("cc-backend", _server_text(state), halted)


def _slurm(state: Mapping[str, Any], now: float, limits: AgeLimits) -> CheckResult:
    since = state.get("slurm_silent_since")
    if since is None:
        return passed("slurm", "answers")
    age = now - float(since)
    status = limits.status_at(age)
    hint = "" if status is CheckStatus.OK else "look after slurmctld, and the commands in slurm.*"
    return finding(status, "slurm", f"has not answered for {age_text(age)}", hint)


def _disk(state: Mapping[str, Any]) -> CheckResult:
    if state.get("disk_full"):
        hint = "free space on the spool's file system; nothing new is told until then"
        return finding(CheckStatus.CRITICAL, "disk", "the spool's file system is full", hint)
    return passed("disk", "writable")


def _hosts(state: Mapping[str, Any]) -> CheckResult:
    count = int(state.get("unknown_hosts") or 0)
    figure = PerfData(label="unknown_hosts", value=count, warning=1)
    if count:
        text = f"cc-backend does not know {count} of the hosts, their jobs wait"
        hint = "add them to cluster.json of the server; `check --full` names them"
        return finding(CheckStatus.WARNING, "unknown hosts", text, hint, figure)
    return passed("unknown hosts", "none", figure)


def _number(state: Mapping[str, Any] | None, key: str) -> float | None:
    value = (state or {}).get(key)
    return float(value) if isinstance(value, int | float) else None
