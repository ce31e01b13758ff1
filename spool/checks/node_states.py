"""Check the last round of node states from `nodes.json`.

cc-backend shows the last state of a node for ever, without any mark, so an old round is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from spool.checks.result import CheckResult, CheckStatus, PerfData, finding, passed
from spool.files.drain_state import DrainState
from spool.files.node_round import EXPECTED, NodeRound, left_out_texts
from spool.formatting import format_duration, pluralize

MAX_INTERVALS = 5
MAX_NODES = 50_000  # more take longer than the server's own limit of an answer (20 s)
_NAME = "node states"


def check_nodes(
    last: NodeRound | None, state: DrainState | None, now: float, interval: float
) -> Iterator[CheckResult]:
    """Yield the check of the last round; nothing if node states are off or not due yet.

    Args:
        last: the last round; None: there was none.
        state: of the drain, which says since when rounds are due; None: no drain has ever run.
        now: Unix seconds.
        interval: between two rounds, in seconds; 0: they are switched off.
    """
    if not interval:
        return
    if last is None or last.unsupported:
        is_due = state is not None and not state.once and state.server_dialect == "shared"
        started = state.started if state is not None else None
        if last is None and is_due and now - (started or now) > MAX_INTERVALS * interval:
            yield finding(CheckStatus.WARNING, _NAME, "have never been reported", _hint(interval))
        return
    why = f": {last.problem}" if last.problem else ""
    if last.accepted is not None:
        yield _check_accepted(last, now - last.accepted, why, interval)
    elif last.failures >= MAX_INTERVALS:
        text = f"have never been reported{why}"
        yield finding(CheckStatus.WARNING, _NAME, text, _hint(interval))


def _check_accepted(last: NodeRound, age: float, why: str, interval: float) -> CheckResult:
    """Return the check of a round that cc-backend accepted `age` seconds ago."""
    figures = (
        PerfData(label="node_states_age", value=max(0.0, age), unit="s"),
        PerfData(label="nodes_left_out", value=sum(last.left_out.values())),
    )
    left_out = {key: n for key, n in last.left_out.items() if key not in EXPECTED}
    if age > MAX_INTERVALS * interval:
        text = f"were last reported {format_duration(age)} ago{why}"
        return finding(CheckStatus.WARNING, _NAME, text, _hint(interval), *figures)
    if last.nodes > MAX_NODES:
        text = f"a report of {last.nodes} nodes may exceed the 20 s that cc-backend allows"
        hint = "if these reports fail, set nodes.interval_seconds to 0: no node states"
        return finding(CheckStatus.WARNING, _NAME, text, hint, *figures)
    if left_out:
        text = f"left out: {', '.join(left_out_texts(left_out))}"
        hint = "`cc-sweep nodes --plan` and `cc-spool check --full` show these nodes"
        return finding(CheckStatus.WARNING, _NAME, text, hint, *figures)
    text = f"{pluralize(last.nodes, 'node')}, reported {format_duration(age)} ago"
    return passed(_NAME, text, *figures)


def _hint(interval: float) -> str:
    return (
        f"node states should be reported every {interval:g} s: see `journalctl -u cc-spool`, or run"
        " `cc-sweep nodes`"
    )
