"""A change of the row's metadata that precedes a stop."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_backend import Scripted, request

from ccbackend.outcomes import Reason
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import BackendSender

EDIT = {"jobId": 7, "payload": {"key": "endSummary"}}


def stop(backend: Scripted, editor: Scripted, **more: Any) -> list[dict[str, Any]]:
    """Send a stop with a change before it; return what the editor sent."""
    BackendSender(backend, new_editor=lambda: editor).send(
        request(RequestKind.STOP, document={"stop": 1}, edits=(EDIT,), **more)
    )
    assert backend.bodies == [{"stop": 1}]
    return editor.bodies


@pytest.mark.parametrize(
    "answer", [Reason.EDITED, Reason.AFTER_FLUSH, Reason.TIMED_OUT, ValueError("a bug")]
)
def test_an_edit_precedes_the_stop_whatever_its_result(answer: Reason | Exception) -> None:
    """The edit of the row's metadata is tried once; the stop is sent even if the edit fails."""
    assert [EDIT] == stop(Scripted(), Scripted(answer))


def test_a_trial_of_a_stop_omits_the_edit() -> None:
    """The server may be down: only the stop is sent, and not the edit of the row's metadata."""
    assert [] == stop(Scripted(), Scripted(), is_trial=True)


def test_after_an_unanswered_edit_no_edit_is_sent_for_60_s() -> None:
    """Otherwise each stop would have to wait seconds for the edit of its row."""
    now, made = [0.0], list[Scripted]()

    def new_editor() -> Scripted:
        made.append(Scripted(Reason.TIMED_OUT))
        return made[-1]

    sender = BackendSender(
        Scripted(),
        new_editor=new_editor,
        steady=lambda: now[0],
    )
    for now[0] in (0.0, 59.0, 60.0):
        sender.send(request(RequestKind.STOP, edits=(EDIT,)))

    assert [[EDIT, EDIT]] == [editor.bodies for editor in made]


def test_without_a_client_for_edits_the_client_of_the_stop_sends_the_edit() -> None:
    """The edit of the row's metadata is sent before the stop."""
    backend = Scripted()
    BackendSender(backend).send(request(RequestKind.STOP, document={"stop": 1}, edits=(EDIT,)))

    assert [EDIT, {"stop": 1}] == backend.bodies
