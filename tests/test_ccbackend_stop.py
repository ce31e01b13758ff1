"""Stop, delete and amendment requests: end times, states, keys."""

from __future__ import annotations

from typing import Any

import pytest
from payload_values import T

from ccbackend.errors import PayloadError
from ccbackend.facts import BackendRunKey
from ccbackend.outcomes import Reason
from ccbackend.payload import (
    amend,
    clamp_end_time,
    delete_payload,
    key_of,
    stop_payload,
)
from ccbackend.version import Dialect

KEY = BackendRunKey(7, "lab", T)


@pytest.mark.parametrize(
    ("end", "sent", "warnings"),
    [
        (T + 60, T + 60, 0),
        (T, T, 0),
        (T - 1, T, 0),
        (T - 9, T, 1),
        (T + 2**31, T + 2**31 - 1, 0),
        (T + 2**33, T + 2**31 - 1, 1),
    ],
)
def test_the_end_is_not_before_the_start_and_within_32_bits(
    end: int, sent: int, warnings: int
) -> None:
    """A correction by more than a second is logged."""
    reported: list[str] = []
    document = stop_payload(
        KEY, end_time=end, state="COMPLETED", dialect=Dialect.SHARED, warn=reported.append
    )

    assert document == {
        "jobId": 7,
        "cluster": "lab",
        "startTime": T,
        "stopTime": sent,
        "jobState": "completed",
    }
    assert len(reported) == warnings
    assert clamp_end_time(end, T) == sent


def test_an_unknown_end_state_is_sent_as_failed_with_a_warning() -> None:
    """The warning contains the state's name."""
    reported: list[str] = []
    document = stop_payload(
        KEY, end_time=T + 1, state="EXPLODED", dialect=Dialect.SHARED, warn=reported.append
    )

    assert document["jobState"] == "failed"
    assert reported == ["end state 'EXPLODED' is unknown to this program: it is reported as failed"]


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "SUSPENDED", "COMPLETING", "REVOKED"])
def test_a_state_that_is_not_an_end_state_is_never_sent(state: str) -> None:
    """The server would accept it, and then no stop could close the row."""
    with pytest.raises(PayloadError, match="is not an end state"):
        stop_payload(KEY, end_time=T + 1, state=state, dialect=Dialect.SHARED)


def test_a_delete_has_the_full_key_of_the_run() -> None:
    """With only the job id, the server could delete another run."""
    document = delete_payload(KEY)

    assert document == {"jobId": 7, "cluster": "lab", "startTime": T}
    assert key_of(document) == KEY


@pytest.mark.parametrize(
    ("document", "reason", "changed"),
    [
        ({"stopTime": 5, "startTime": 9}, Reason.END_BEFORE_START,
         {"stopTime": 10, "startTime": 9}),
        ({"stopTime": 10, "startTime": 9}, Reason.END_BEFORE_START, None),
        ({"jobState": "x"}, Reason.STATE_UNKNOWN, {"jobState": "failed"}),
        ({"jobState": "failed"}, Reason.STATE_UNKNOWN, None),
        ({"metaData": {"jobScript": "x"}}, Reason.METADATA_TOO_LARGE, {"metaData": {}}),
        ({}, Reason.METADATA_TOO_LARGE, None),
    ],
)  # fmt: skip
def test_a_refused_request_is_changed_before_it_is_sent_again(
    document: dict[str, Any], reason: Reason, changed: dict[str, Any] | None
) -> None:
    """The end, the state or the metadata changes; the result is None if no change is possible."""
    assert amend(document, reason) == changed
