"""Read run files; a file that cannot be read now stays and is retried.

Only a readable file with invalid contents moves to `dead/`. An input/output error, a missing
permission, or a file that crashed the drain three times is a fault on our side: the file stays,
`unreadable` names it, and `check` is critical.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from spool.errors import BadFileError, NewerFormatError
from spool.escaping import escape
from spool.files.codec import load_run
from spool.files.dead_letter_reason import REPAIR_HINT, DeadLetterReason
from spool.files.dead_letters import move_file_to_dead
from spool.files.layout import Directory, Layout
from spool.files.run import Run, parse_run_name
from spool.files.state_files import CrashMarker
from spool.moment import Moment

READ_AGAIN_SECONDS = 60.0
AFTER_CRASHES_SECONDS = 3600.0
AFTER_CRASHES = "the drain crashed three times while processing this file"
NOT_A_RUN = "not a valid name of a run file (JOBID-START.json)"
_log = logging.getLogger(__name__)


class RunLoader:
    """The reader of run files; used only in the loop's thread."""

    def __init__(self, layout: Layout, crash_marker: CrashMarker) -> None:
        self._layout = layout
        self._crash_marker = crash_marker
        self._retry_at: dict[str, tuple[Directory, float]] = {}
        self.unreadable: dict[str, str] = {}
        """The reasons why files cannot be read now, by name."""
        self._unreadable_starts: dict[int, set[int]] = {}  # by job id: a whole disk may fail

    def load(self, directory: Directory, name: str, now: Moment) -> Run | None:
        """Return a file's run; None if it is missing, invalid, too new, or cannot be read now."""
        if self._crash_marker.is_poison(name):
            self._set_aside(directory, name, AFTER_CRASHES, now, seconds=AFTER_CRASHES_SECONDS)
            return None
        try:
            with self._crash_marker(name):
                run = load_run(self._layout, directory, name)
        except FileNotFoundError:
            self._forget(name)
        except NewerFormatError as error:
            self._set_aside(directory, name, str(error), now, seconds=AFTER_CRASHES_SECONDS)
        except BadFileError as error:
            self.move_to_dead(directory, name, error.reason, now)
        except OSError as error:
            reason = error.strerror or str(error)
            self._set_aside(directory, name, reason, now, seconds=READ_AGAIN_SECONDS)
        else:
            self._forget(name)
            return run
        return None

    def unreadable_starts(self, job_id: int) -> list[int]:
        """Return the start times of a job's runs whose files cannot be read now."""
        return sorted(self._unreadable_starts.get(job_id, ()))

    def next_time(self) -> float | None:
        """Return when the first retry is due, by the monotonic clock; None if there is none."""
        return min((at for _, at in self._retry_at.values()), default=None)

    def take_due(self, now: Moment) -> list[tuple[Directory, str]]:
        """Return the unreadable files whose retry is due; remove them from the retry list."""
        due = [name for name, (_, at) in self._retry_at.items() if at <= now.steady]
        return [(self._retry_at.pop(name)[0], name) for name in due]

    def move_to_dead(self, directory: Directory, name: str, reason: str, now: Moment) -> None:
        """Move a file that is not a run to `dead/`; it stays if that fails."""
        why = DeadLetterReason(
            name=name, directory=directory, time=int(now.wall), reason=reason, hint=REPAIR_HINT
        )
        try:
            moved = move_file_to_dead(self._layout, why)
        except FileNotFoundError:  # it was removed meanwhile
            self._forget(name)
            return
        except OSError as error:
            text = f"{reason}, and the file cannot be moved to dead/: {error.strerror}"
            self._set_aside(directory, name, text, now, seconds=READ_AGAIN_SECONDS)
            return
        self._forget(name)
        _log.warning("%s/%s was moved to dead/%s: %s", directory, escape(name), moved, reason)

    def _set_aside(
        self, directory: Directory, name: str, reason: str, now: Moment, *, seconds: float
    ) -> None:
        """Record an unreadable file and the time of its next retry; the file is not moved."""
        if self.unreadable.get(name) != reason:
            text = "%s/%s cannot be read and is retried: %s"
            _log.error(text, directory, escape(name), escape(reason))
        self.unreadable[name] = reason
        self._retry_at[name] = directory, now.steady + seconds
        with suppress(BadFileError):  # not a run file, and `dead/` cannot be written
            job_id, start = parse_run_name(name)
            self._unreadable_starts.setdefault(job_id, set()).add(start)

    def _forget(self, name: str) -> None:
        """Forget that a file could not be read."""
        if self.unreadable.pop(name, None) is None:
            return
        with suppress(BadFileError):
            job_id, start = parse_run_name(name)
            self._unreadable_starts[job_id].discard(start)
