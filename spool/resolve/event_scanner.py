"""Scan and read the events in `new/`; move invalid files to `dead/`.

Anybody who can become SlurmUser can create any file there: links, FIFOs, directories, huge files,
names with line breaks. Only the invalid file is moved to `dead/`; the other events are processed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from spool.errors import BadFileError, NewerFormatError
from spool.escaping import escape
from spool.files.dead_letter_reason import DeadLetterReason
from spool.files.dead_letters import move_file_to_dead
from spool.files.event import (
    EXTRAS_LIMIT_BYTES,
    Event,
    is_complete,
    parse_event_name,
    parse_extras,
)
from spool.files.layout import Directory, Layout
from spool.files.state_files import CrashMarker, CrashMarkerError
from spool.moment import Moment

# In case the mtime does not show a new file: directory times are coarse on some systems.
RESCAN_SECONDS = 5.0
MTIME_RESOLUTION_SECONDS = 1.0  # a directory's mtime may be that coarse
LARGE_BACKLOG = 10_000
# A hook creates its file and writes into it a moment later, or seconds later where the kernel holds
# back its write. Without accounting the contents alone may know how a job ended. If they do not
# come, the hook was killed or the disk is full: the name is used before Slurm forgets the job
# (slurm.conf, MinJobAge).
CONTENTS_WAIT_SECONDS = 10.0
_HINT = "only hooks and cc-sweep may write into new/; check the file, then `cc-spool discard ID`"
_log = logging.getLogger(__name__)


class EventScanner:
    """The scanner of `new/`; it returns each event once, until its name is forgotten."""

    def __init__(self, layout: Layout, crash_marker: CrashMarker) -> None:
        self._layout = layout
        self._crash_marker = crash_marker
        self._handed_out: set[str] = set()
        self._ignored: set[str] = set()
        self._read_again_since: dict[str, float] = {}
        """When a file that lacks its last line or cannot be read was first seen, steady clock."""
        self._modified_ns = -1
        self._scanned_at = float("-inf")

    def __len__(self) -> int:
        return len(self._handed_out) + len(self._ignored)

    @property
    def is_waiting(self) -> bool:
        """Return whether an event file lacks contents or cannot be read, and will be read again."""
        return bool(self._read_again_since)

    def is_due(self, now: Moment) -> bool:
        """Return whether `new/` may have new names; costs one stat."""
        since = now.steady - self._scanned_at
        if since >= RESCAN_SECONDS:
            return True
        # To list a directory of many thousand events 25 times a second would take all the CPU time
        # that the backlog needs.
        listed = len(self._handed_out) + len(self._read_again_since)
        if listed > LARGE_BACKLOG and since < MTIME_RESOLUTION_SECONDS:
            return False
        if self._read_again_since:  # to write into a file does not change the directory's mtime
            return True
        modified_ns = self._layout.directory_mtime_ns(Directory.NEW)
        # A file may be created in the same tick of the clock after a scan: then the directory's
        # mtime does not change again. So a young mtime counts as changed.
        return (
            modified_ns != self._modified_ns
            or abs(now.wall - modified_ns / 1e9) < MTIME_RESOLUTION_SECONDS
        )

    def scan(self, now: Moment) -> list[Event]:
        """Return the events that were not returned yet, oldest first."""
        self._scanned_at = now.steady
        # Before the names: a file that is created while they are read changes the mtime once more,
        # and the next pass sees it.
        self._modified_ns = self._layout.directory_mtime_ns(Directory.NEW)
        fresh, known = [], 0
        for name in self._layout.names(Directory.NEW):
            if name in self._handed_out or name in self._ignored:
                known += 1
            else:
                fresh.append(name)
        if known < len(self):
            self._drop_gone()
        waited_for, self._read_again_since = self._read_again_since, {}
        events = []
        for name in fresh:
            event = self._read(name, now, waited_for.get(name, now.steady))
            if event is not None:
                events.append(event)
        for event in events:
            self._handed_out.add(event.name)
            _log.debug("job=%d %s event is in new/%s", event.job_id, event.kind, event.name)
        # Names sort by kind first; the order of the events of a job is that of their times.
        return sorted(events, key=lambda event: event.time)

    def _drop_gone(self) -> None:
        """Forget the names of files that other programs have removed from `new/`."""
        names = set(self._layout.names(Directory.NEW))
        self._handed_out -= self._handed_out - names  # keeps the texts that the events hold
        self._ignored -= self._ignored - names

    def forget(self, names: Iterable[str]) -> None:
        """Forget names; the next scan returns the event again if its file still exists."""
        self._handed_out.difference_update(names)

    def move_unknown_to_dead(self, event: Event, now: Moment) -> None:
        """Move an event whose job is unknown to Slurm to `dead/`."""
        why = DeadLetterReason(
            name=event.name,
            directory=Directory.NEW,
            time=int(now.wall),
            reason="unknown to Slurm",
            hint="neither slurmctld nor accounting has this job: check slurmctld's log, then"
            " `cc-spool retry ID` or `cc-spool discard ID`",
        )
        try:
            move_file_to_dead(self._layout, why)
        except OSError as error:
            _log.error("new/%s cannot be moved to dead/: %s", event.name, error)
        # In any case: a file that could not be moved is found by the next scan and looked up anew.
        self.forget([event.name])

    def _read(self, name: str, now: Moment, first_seen: float) -> Event | None:
        """Return the event of a name, None if it is incomplete; move an invalid file to `dead/`."""
        if self._crash_marker.is_poison(name):
            reason = "the drain crashed three times while reading this file"
            return self._read_name_only(name, reason, now)
        try:
            event, is_whole = self._parse_marked(name)
        except FileNotFoundError:
            return None
        # It stays for the newer version, which was installed before and may come back.
        except NewerFormatError as error:
            self._ignored.add(name)
            _log.warning("%s", escape(str(error)))
        except BadFileError as error:
            self._set_aside(name, error.reason, now)
        except OSError as error:
            # A temporary error (ENFILE, ENOMEM, ESTALE) must not cost the contents, a lasting one
            # must not cost the event: after the wait the name alone is the event.
            if isinstance(error, PermissionError) or not self._keep_waiting(name, now, first_seen):
                return self._read_name_only(name, error.strerror or str(error), now)
        else:
            return event if is_whole or not self._keep_waiting(name, now, first_seen) else None
        return None

    def _keep_waiting(self, name: str, now: Moment, first_seen: float) -> bool:
        """Return whether to wait longer for contents; if so, the next scan reads the file again."""
        if now.steady - first_seen >= CONTENTS_WAIT_SECONDS:
            return False
        self._read_again_since[name] = first_seen
        return True

    def _parse_marked(self, name: str) -> tuple[Event, bool]:
        """Parse a file while its name is in the crash marker, if the marker can be written."""
        try:
            with self._crash_marker(name):
                return self._parse(name)
        except CrashMarkerError:
            # The state directory is full or fails. That is no reason to lose what the file says.
            return self._parse(name)

    def _parse(self, name: str) -> tuple[Event, bool]:
        """Return the event in a file, and whether no more contents can be expected."""
        found = self._layout.read(Directory.NEW, name, EXTRAS_LIMIT_BYTES)
        contents = b"" if found.contents is None else found.contents
        event = parse_event_name(name, time=found.time, extras=parse_extras(contents))
        return event, found.contents is None or is_complete(contents)

    def _read_name_only(self, name: str, reason: str, now: Moment) -> Event | None:
        """Return the event of a file whose extras cannot be read, from its name alone.

        Only for a regular file: a file that cannot be unlinked later must not become an event.
        """
        try:
            is_regular = self._layout.is_regular(Directory.NEW, name)
            event = parse_event_name(name, time=self._layout.mtime(Directory.NEW, name))
        except FileNotFoundError:
            return None
        except NewerFormatError:
            self._ignored.add(name)
        except BadFileError as refusal:
            self._set_aside(name, f"{refusal.reason}; cannot be read: {reason}", now)
        except OSError:  # not even its kind can be seen now
            self._read_again_since[name] = now.steady
        else:
            if not is_regular:
                self._set_aside(name, "not a regular file", now)
                return None
            _log.warning("event %s is used without its contents: %s", escape(name), reason)
            return event
        return None

    def _set_aside(self, name: str, reason: str, now: Moment) -> None:
        why = DeadLetterReason(
            name=name, directory=Directory.NEW, time=int(now.wall), reason=reason, hint=_HINT
        )
        try:
            dead_name = move_file_to_dead(self._layout, why)
        except FileNotFoundError:
            return
        except OSError as error:
            self._ignored.add(name)
            _log.error("new/%s: %s; cannot be moved to dead/: %s", escape(name), reason, error)
            return
        _log.warning("new/%s was moved to dead/%s: %s", escape(name), dead_name, reason)
