"""Take runs out that cannot be told: each alone, with the reason, the request and what to do."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

from spool.deliver.run_store import RunStore
from spool.deliver.schedule import ScheduleEntry
from spool.deliver.senders import SendRequest
from spool.escaping import escape
from spool.files.dead_letters import DeadLetterReason, move_file_to_dead
from spool.files.layout import Directory
from spool.files.run import LastError, Run

_HINT = "mend the cause, then `cc-spool retry` it, or `cc-spool discard` it"
_log = logging.getLogger(__name__)


def move_rejected_to_dead(
    store: RunStore, entry: ScheduleEntry, run: Run, request: SendRequest, now: float
) -> None:
    """Bury a run that cc-backend refused for good, with the request but for its metaData."""
    sent = {key: value for key, value in request.document.items() if key != "metaData"}
    error = run.last_error or _own_error(request.call, "refused", now)
    _log.warning(
        "job=%d start=%d outcome=dead call=%s attempts=%d: %s",
        run.job_id,
        run.start_time,
        request.call,
        run.attempts,
        escape(error.message),
    )
    hint = error.hint if "cc-spool" in error.hint else "; ".join(filter(None, [error.hint, _HINT]))
    store.move_to_dead(entry, run, replace(error, request=json.dumps(sent), hint=hint), now)


def move_unsendable_to_dead(
    store: RunStore, entry: ScheduleEntry, run: Run, reason: str, now: float
) -> None:
    """Bury a run of which no valid request can be made."""
    error = _own_error(entry.next_request or "start", reason, now)
    _log.warning("job=%d start=%d outcome=dead: %s", run.job_id, run.start_time, escape(reason))
    store.move_to_dead(entry, run, error, now)


def move_unreadable_to_dead(store: RunStore, entry: ScheduleEntry, reason: str, now: float) -> None:
    """Set a run file aside that cannot be read."""
    directory = entry.stored or Directory.TODO
    why = DeadLetterReason(
        name=entry.name,
        directory=directory,
        time=int(now),
        reason=reason,
        hint="mend the file and `cc-spool retry` it, or `cc-spool discard` it",
    )
    store.schedule.drop(entry, now)
    try:
        move_file_to_dead(store.layout, why)
    except OSError as error:
        _log.error("%s/%s: %s; it stays there: %s", directory, entry.name, escape(reason), error)
        return
    _log.warning("%s/%s is set aside in dead/: %s", directory, entry.name, escape(reason))


def _own_error(call: str, reason: str, now: float) -> LastError:
    return LastError(
        time=int(now),
        call=call,
        outcome="rejected",
        reason="incomplete",
        message=escape(reason),
        hint="mend what is missing, then `cc-spool retry` it, or `cc-spool discard` it",
    )
