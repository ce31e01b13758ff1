"""Make dead letters of runs that cannot be delivered: with reason, request and a hint.

Which runs these are is decided in `reaction` (after an answer of cc-backend) and in `compose` (no
valid request can be made from the run).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spool.deliver.pending_run import PendingRun
from spool.deliver.run_store import RunStore
from spool.escaping import escape
from spool.files.run import LastError, Run
from spool.moment import Moment

_HINT = "correct the cause and type `cc-spool retry ID`, or give it up with `cc-spool discard ID`"
_log = logging.getLogger(__name__)


def move_rejected_to_dead(
    store: RunStore, entry: PendingRun, run: Run, document: Mapping[str, Any], now: Moment
) -> None:
    """Move a run that cc-backend rejected to `dead/`, with its request without metaData."""
    sent = {key: value for key, value in document.items() if key != "metaData"}
    error = run.last_error or _own_error(entry.next_request or "start", "refused", now)
    _log.warning(
        "job=%d start=%d outcome=dead call=%s attempts=%d: %s",
        run.job_id,
        run.start_time,
        error.call,
        run.attempts,
        escape(error.message),
    )
    hint = error.hint if "cc-spool" in error.hint else "; ".join(filter(None, [error.hint, _HINT]))
    store.move_to_dead(entry, run, replace(error, request=json.dumps(sent), hint=hint), now)


def move_unsendable_to_dead(
    store: RunStore, entry: PendingRun, run: Run, reason: str, now: Moment
) -> None:
    """Move a run from which no valid request can be made to `dead/`."""
    error = _own_error(entry.next_request or "start", reason, now)
    _log.warning("job=%d start=%d outcome=dead: %s", run.job_id, run.start_time, escape(reason))
    store.move_to_dead(entry, run, error, now)


def _own_error(call: str, reason: str, now: Moment) -> LastError:
    return LastError(
        time=int(now.wall),
        call=call,
        outcome="rejected",
        reason="incomplete",
        message=escape(reason),
        hint="correct what the message names, in Slurm or in the configuration, and type"
        " `cc-spool retry ID`; if the run need not be reported: `cc-spool discard ID`",
    )
