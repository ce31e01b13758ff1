"""Import events and runs into a spool, so that all of them are delivered again.

It may be repeated: waiting events and runs are recognized, and delivering twice is harmless. At
most 1000 events wait in `new/`, so that events of the hooks are not delayed; runs need no limit of
speed, because only one start and one stop are in flight.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from spool.errors import BadFileError, UnusableFileError
from spool.escaping import escape
from spool.files import codec
from spool.files.codec import load_run
from spool.files.dead_letters import active_directory, reset_delivery
from spool.files.durable_files import NewFile, create_file
from spool.files.event import Event
from spool.files.import_items import ImportItem
from spool.files.inventory import RunFile, read_file
from spool.files.layout import RUN_DIRECTORIES, Directory, Layout
from spool.files.new_events import put_event
from spool.files.run import Run, waiting_since

MAX_NEW_EVENTS = 1000
RUNS_PER_SPACE_CHECK = 100
POLL_SECONDS = 0.5
_log = logging.getLogger(__name__)


class Throttle:
    """The limits of the import. `is_drained` says whether a drain is running."""

    def __init__(
        self,
        layout: Layout,
        *,
        is_drained: Callable[[], bool],
        min_free_bytes: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._layout = layout
        self._is_drained = is_drained
        self._min_free_bytes = min_free_bytes
        self._sleep = sleep
        self._events_left = 0
        self._runs_left = 0

    def wait_for_event_slot(self) -> bool:
        """Wait until `new/` has room; return False if no drain is running."""
        while self._events_left <= 0:
            self._events_left = MAX_NEW_EVENTS - sum(1 for _ in self._layout.names(Directory.NEW))
            if self._events_left <= 0:
                if not self._is_drained():
                    _log.error(
                        "new/ is full and no drain is running: start it, then repeat this command"
                    )
                    return False
                self._sleep(POLL_SECONDS)
        self._events_left -= 1
        return True

    def has_space_for_run(self) -> bool:
        """Return whether the disk has room for more runs."""
        if self._runs_left <= 0:
            if self._layout.free_bytes() < self._min_free_bytes:
                _log.error(
                    "free space is below spool.min_free_bytes: make room on the spool's disk,"
                    " then repeat this command"
                )
                return False
            self._runs_left = RUNS_PER_SPACE_CHECK
        self._runs_left -= 1
        return True


class Importer:
    """The import of events and runs into a spool, with its counts. `now` in Unix seconds.

    One spool serves one Slurm cluster: job ids of another would change the wrong rows. The
    cluster's name is taken from the runs in the spool, or from the first imported run.
    """

    def __init__(self, layout: Layout, throttle: Throttle, *, now: float, dry_run: bool) -> None:
        self._layout = layout
        self._throttle = throttle
        self._now = int(now)
        self._cluster = cluster_of(layout)
        self.dry_run = dry_run
        self.done = 0
        self.known = 0
        self.refused: list[dict[str, str]] = []

    def import_item(self, kept: ImportItem) -> bool:
        """Import an event or a run; return False if the spool has no room for more.

        Raises:
            OSError: the spool cannot be written.
        """
        if kept.item is None:
            self._refuse(kept, kept.reason)
            return True
        try:
            is_new = self._import(kept.item)
        except BadFileError as error:
            self._refuse(kept, error.reason)
            return True
        if is_new is not None:
            self.done += is_new
            self.known += not is_new
        return is_new is not None

    def _refuse(self, kept: ImportItem, reason: str) -> None:
        self.refused.append({"what": escape(kept.where, 1000), "reason": escape(reason)})

    def _import(self, item: Event | Run) -> bool | None:
        cluster = item.extras.get("cluster") if isinstance(item, Event) else item.job.cluster
        if cluster and self._cluster and cluster != self._cluster:
            reason = (
                f"it belongs to the Slurm cluster {cluster}, but this spool is for {self._cluster}"
            )
            raise BadFileError(item.name, reason)
        self._cluster = self._cluster or cluster
        return self._import_event(item) if isinstance(item, Event) else self._import_run(item)

    def _import_event(self, event: Event) -> bool | None:
        """Import an event; return whether it is new here, None if there is no room."""
        layout = self._layout
        if self.dry_run:
            return not layout.exists(Directory.NEW, event.name)
        if not self._throttle.wait_for_event_slot():
            return None
        return put_event(layout, event.name, event.extras, event.time)

    def _import_run(self, kept: Run) -> bool | None:
        """Import a run; return whether it is new here, None if there is no room."""
        if not kept.reported and kept.end is not None:
            return False  # it has nothing to deliver
        existing = active_directory(self._layout, kept.name)
        if existing is not None:
            self._raise_if_different(kept, existing)
            return False
        if self._layout.exists(Directory.DEAD, kept.name):
            hint = "type `cc-spool retry ID` or `cc-spool discard ID`"
            raise BadFileError(kept.name, f"it is a dead letter in this spool: {hint}")
        if self.dry_run:
            return True
        if not self._throttle.has_space_for_run():
            return None
        run = undelivered(kept, self._now) if kept.reported else reset_delivery(kept)
        file = NewFile(name=run.name, contents=codec.encode(run), mtime=waiting_since(run))
        return create_file(self._layout, Directory.TODO, file)

    def _raise_if_different(self, kept: Run, directory: Directory) -> None:
        try:
            here = load_run(self._layout, directory, kept.name)
        except FileNotFoundError:
            return  # it was delivered meanwhile
        except UnusableFileError as error:
            reason = f"this spool already has this run in {directory}/, where it cannot be read"
            raise BadFileError(kept.name, reason) from error
        if slurm_record_of(here) != slurm_record_of(kept):
            reason = (
                f"this spool already has this run in {directory}/ with other contents, which are"
                " kept"
            )
            raise BadFileError(kept.name, reason)


def cluster_of(layout: Layout) -> str | None:
    """Return Slurm's cluster name from the runs of a spool; None if no run contains one."""
    for directory in RUN_DIRECTORIES:
        for name in layout.names(directory):
            found = read_file(layout, directory, name)
            if isinstance(found, RunFile) and found.run.job.cluster:
                return found.run.job.cluster
    return None


def undelivered(run: Run, now: int) -> Run:
    """Return a copy of a run without deliveries, so that its start and stop are delivered."""
    return replace(reset_delivery(run), started=None, replaces=(), seen=now)


def slurm_record_of(run: Run) -> Run:
    """Return a run with the facts from Slurm only, without the state of its delivery."""
    return replace(
        undelivered(run, 0), cluster=None, reported=True, reason=None, monitoring_status=None
    )
