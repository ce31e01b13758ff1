"""Job events and node states by NATS (from 1.5.0): InfluxDB lines, errors are only logged."""

from __future__ import annotations

import re

from stub_backend.auth import Account
from stub_backend.ends import stop
from stub_backend.extras import node_state
from stub_backend.starts import start
from stub_backend.state import State
from stub_backend.wire.answers import Answer, Request

_LINE = re.compile(
    r'(?P<name>\w+)(?P<tags>(?:,\w+=[^ ,]+)*) event="(?P<event>(?:[^"\\]|\\.)*)" (?P<time>-?\d+)',
    re.DOTALL,
)
_BLANK = re.compile(r"\s*")


def publish(state: State, message: str) -> list[Answer]:
    """Process one message; return what REST would have answered to each of its lines.

    A line that cannot be read ends its message.
    """
    answers = []
    at = 0
    while (line := _LINE.match(message, at)) and int(line["time"]) != 0:
        answers.append(_process_line(state, line))
        blank = _BLANK.match(message, line.end())
        at = blank.end() if blank else line.end()
    return answers


def _process_line(state: State, line: re.Match[str]) -> Answer:
    event = re.sub(r'\\(["\\])', r"\1", line["event"])
    request = Request("POST", "", body=event.encode())
    account = Account("nats")
    if line["name"] == "nodestate":
        return node_state(state, request, account, "")
    is_start = "function=start_job" in line["tags"]
    return start(state, request, account, "") if is_start else stop(state, request, account, "")
