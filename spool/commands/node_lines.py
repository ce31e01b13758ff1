"""The lines of `status` about the last round of node states."""

from __future__ import annotations

from collections.abc import Iterator

from spool.escaping import escape
from spool.files.node_round import NodeRound, left_out_texts
from spool.formatting import format_age, format_time, pluralize


def node_lines(last: NodeRound | None, now: float, interval: float) -> Iterator[str]:
    """Yield the lines; none before the first round."""
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
            yield escape(f"node states not reported: {', '.join(left_out_texts(last.left_out))}")
    if last.problem and not last.unsupported:
        rounds = pluralize(last.failures, "failed round")
        yield escape(f"node states: {rounds}, last {format_time(last.tried)}: {last.problem}", 1000)
