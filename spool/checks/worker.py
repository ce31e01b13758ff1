"""The drain by its lock and its beacon: does it live, and what does it believe of both sides?

A belief is told only while the drain lives; what a dead one believed is history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spool.checks.result import Figure, Limits, Result, Verdict, ago, bad, good

BEACON_WARNING_SECONDS = 60.0
BEACON_CRITICAL_SECONDS = 300.0  # systemd's watchdog would have ended it by now
_START = "`systemctl start cc-spool`; its log says why it ended"


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


def unreadable(name: str, path: Path, error: Exception) -> Result:
    """Return the result for state that cannot be read: nothing is known."""
    text = f"{path} cannot be read: {error}"
    return bad(Verdict.UNKNOWN, name, text, "run this as root or as the service's user")


def check_worker(
    beacon: Mapping[str, Any] | None,
    now: float,
    *,
    lives: bool,
    limits: Limits,
    may_be_new: bool = False,
) -> Iterator[Result]:
    """Yield what the drain tells of itself.

    Args:
        beacon: `drain.json`; None if no drain has ever run.
        now: Unix seconds.
        lives: whether the lock is held.
        limits: on the time that cc-backend or Slurm are away.
        may_be_new: a drain that has never run is to be started when all else is well.
    """
    if not lives and beacon is None and may_be_new:
        yield bad(Verdict.WARNING, "drain", "has never run", "start it when all else is well")
    elif not lives and beacon is not None and beacon.get("once") is True:
        yield from _beliefs(beacon, now, limits, _last_run)
    elif not lives:
        last = _number(beacon, "updated")
        text = "is not running" + (f", last seen {ago(now - last)} ago" if last else "")
        yield bad(Verdict.CRITICAL, "drain", text, _START)
    elif beacon is None:
        yield good("drain", "has just begun")
    else:
        yield from _beliefs(beacon, now, limits, _sign_of_life)


def _beliefs(
    beacon: Mapping[str, Any],
    now: float,
    limits: Limits,
    life: Callable[[Mapping[str, Any], float, Limits], Result],
) -> Iterator[Result]:
    try:
        results = (
            life(beacon, now, limits),
            _destination(beacon, now, limits),
            _slurm(beacon, now, limits),
            _disk(beacon),
            _hosts(beacon),
        )
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        yield bad(Verdict.UNKNOWN, "drain", f"its state is not understood: {error!r}", _START)
        return
    yield from results


def _server_words(beacon: Mapping[str, Any]) -> str:
    """Return the server's version and dialect as the drain found them."""
    server = beacon.get("server")
    if not server:
        return "not asked yet"
    version = server.get("version") or "unknown"
    return f"version {version}, dialect {server.get('dialect')}"


def _last_run(beacon: Mapping[str, Any], now: float, limits: Limits) -> Result:
    """Return the verdict on a drain that cron starts and that ends by itself."""
    age = now - float(beacon["updated"])
    verdict = limits.verdict(age)
    hint = "" if verdict is Verdict.OK else "look after the cron line of `cc-spool drain --once`"
    return bad(verdict, "drain", f"ran once {ago(age)} ago", hint)


def _sign_of_life(beacon: Mapping[str, Any], now: float, _limits: Limits) -> Result:
    age = now - float(beacon["updated"])
    figure = Figure(
        label="beacon_age",
        value=max(0.0, age),
        unit="s",
        warning=BEACON_WARNING_SECONDS,
        critical=BEACON_CRITICAL_SECONDS,
    )
    verdict = Limits(
        warning_seconds=BEACON_WARNING_SECONDS, critical_seconds=BEACON_CRITICAL_SECONDS
    ).verdict(age)
    if verdict is not Verdict.OK:
        text = f"process {beacon.get('pid')} shows no sign of life for {ago(age)}"
        hint = "a Slurm command or the disk may hang; if it stays so, restart the service"
        return bad(verdict, "drain", text, hint, figure)
    text = f"process {beacon.get('pid')} runs for {ago(now - float(beacon['started']))}"
    return good("drain", text, figure)


def _destination(beacon: Mapping[str, Any], now: float, limits: Limits) -> Result:
    found = beacon["destination"]
    health, since, reason = found["health"], float(found["since"]), found["reason"]
    halted = Figure(label="halted", value=float(health == "halted"), critical=1)
    if health == "halted":
        text = f"deliveries are halted for {ago(now - since)}: {reason}"
        hint = (
            "they go on by themselves within 5 min, or at once when token or configuration change"
        )
        return bad(Verdict.CRITICAL, "cc-backend", text, hint, halted)
    if health == "down":
        text = f"is down for {ago(now - since)}: {reason}"
        verdict = limits.verdict(now - since)
        hint = "" if verdict is Verdict.OK else "look after cc-backend; nothing is lost meanwhile"
        return bad(verdict, "cc-backend", text, hint, halted)
    return good("cc-backend", _server_words(beacon), halted)


def _slurm(beacon: Mapping[str, Any], now: float, limits: Limits) -> Result:
    since = beacon.get("slurm_silent_since")
    if since is None:
        return good("slurm", "answers")
    age = now - float(since)
    verdict = limits.verdict(age)
    hint = "" if verdict is Verdict.OK else "look after slurmctld, and the commands in slurm.*"
    return bad(verdict, "slurm", f"has not answered for {ago(age)}", hint)


def _disk(beacon: Mapping[str, Any]) -> Result:
    if beacon.get("disk_full"):
        hint = "free space on the spool's file system; nothing new is told until then"
        return bad(Verdict.CRITICAL, "disk", "the spool's file system is full", hint)
    return good("disk", "writable")


def _hosts(beacon: Mapping[str, Any]) -> Result:
    count = int(beacon.get("unknown_hosts") or 0)
    figure = Figure(label="unknown_hosts", value=count, warning=1)
    if count:
        text = f"cc-backend does not know {count} of the hosts, their jobs wait"
        hint = "add them to cluster.json of the server; `check --full` names them"
        return bad(Verdict.WARNING, "unknown hosts", text, hint, figure)
    return good("unknown hosts", "none", figure)


def _number(beacon: Mapping[str, Any] | None, key: str) -> float | None:
    value = (beacon or {}).get(key)
    return float(value) if isinstance(value, int | float) else None
