"""The events that wait in `new/`: scanned, read with suspicion, buried if they are none.

Anybody who can become SlurmUser can put anything there: links, FIFOs, directories, huge files,
names with line breaks. Each is set aside alone; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from spool.errors import EventNameError, NewerFormatError
from spool.escaping import escape
from spool.files.dead import Why, bury_file
from spool.files.event import EXTRAS_LIMIT_BYTES, Event, parse_extras, parse_name
from spool.files.layout import Directory, Layout, NotRegularError
from spool.files.state import Handling

RESCAN_SECONDS = 5.0
COARSE_SECONDS = 1.0  # a directory's time may be that coarse
CROWD = 10_000
_HINT = "look at the file, then `cc-spool discard` it; only hooks and cc-sweep write into new/"
_log = logging.getLogger(__name__)


class Intake:
    """Knows which names of `new/` it has handed out; `forget` those that were dealt with."""

    def __init__(self, layout: Layout, handling: Handling) -> None:
        self._layout = layout
        self._handling = handling
        self._known: set[str] = set()
        self._left: set[str] = set()
        self._modified_ns = -1
        self._scanned = float("-inf")

    def __len__(self) -> int:
        return len(self._known)

    def is_due(self, now: float) -> bool:
        """Tell whether `new/` may hold something new; one stat, `now` in Unix seconds."""
        since = now - self._scanned
        if since >= RESCAN_SECONDS:
            return True
        if len(self._known) > CROWD and since < COARSE_SECONDS:
            return False
        modified_ns = self._layout.modified_ns(Directory.NEW)
        return modified_ns != self._modified_ns or now - modified_ns / 1e9 < COARSE_SECONDS

    def scan(self, now: float) -> list[Event]:
        """Return the events that were not handed out yet, oldest first."""
        self._scanned = now
        self._modified_ns = self._layout.modified_ns(Directory.NEW)
        present = set(self._layout.names(Directory.NEW))
        self._known &= present
        self._left &= present
        fresh = present - self._known - self._left
        events = [event for name in fresh if (event := self._read(name, now)) is not None]
        self._known.update(event.name for event in events)
        return sorted(events, key=lambda event: event.time)

    def forget(self, names: Iterable[str]) -> None:
        """Note that events are gone."""
        self._known.difference_update(names)

    def _read(self, name: str, now: float) -> Event | None:
        """Return the event of a name; bury what is none."""
        if self._handling.is_poison(name):
            self._bury(name, "reading it ended the drain three times", now)
            return None
        try:
            with self._handling(name):
                found = self._layout.read(Directory.NEW, name, EXTRAS_LIMIT_BYTES)
                return parse_name(name, time=found.time, extras=parse_extras(found.contents or b""))
        except FileNotFoundError:
            return None
        except NewerFormatError as error:
            self._left.add(name)
            _log.warning("%s", escape(str(error)))
        except NotRegularError:
            self._bury(name, "not a regular file", now)
        except EventNameError as error:
            self._bury(name, error.reason, now)
        except OSError as error:
            return self._unreadable(name, error, now)
        return None

    def _unreadable(self, name: str, error: OSError, now: float) -> Event | None:
        """Return the event of a file whose extras cannot be read: its name says enough.

        Only of a regular file: what cannot be unlinked later must not be taken for an event.
        """
        try:
            is_regular = self._layout.is_regular(Directory.NEW, name)
            event = parse_name(name, time=self._layout.time(Directory.NEW, name))
        except FileNotFoundError:
            return None
        except NewerFormatError:
            self._left.add(name)
        except EventNameError as refusal:
            self._bury(name, f"{refusal.reason}; cannot be read: {error.strerror}", now)
        else:
            if not is_regular:
                self._bury(name, "not a regular file", now)
                return None
            _log.warning("extras of %s are ignored: %s", escape(name), error.strerror)
            return event
        return None

    def _bury(self, name: str, reason: str, now: float) -> None:
        why = Why(name=name, directory=Directory.NEW, time=int(now), reason=reason, hint=_HINT)
        try:
            buried = bury_file(self._layout, why)
        except FileNotFoundError:
            return
        except OSError as error:
            self._left.add(name)
            _log.error("new/%s: %s, and cannot be set aside: %s", escape(name), reason, error)
            return
        _log.warning("new/%s is set aside as dead/%s: %s", escape(name), buried, reason)
