"""Count the runs in `open/` that are deliberately not reported.

Their files are not kept in memory. At each call some of those that are new are read, so that a
large spool delays nothing: after a start the count is complete within minutes.
"""

from __future__ import annotations

from itertools import islice

from spool.errors import BadFileError, NewerFormatError
from spool.files.durable_files import load_run
from spool.files.layout import Directory, Layout
from spool.moment import Moment
from spool.resolve.event_scanner import MTIME_RESOLUTION_SECONDS

MAX_READ = 200  # files in one call: some 10 ms


class UnreportedRuns:
    """The count; for the loop's thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._is_unreported: dict[str, bool] = {}
        self._modified_ns = -1

    @property
    def count(self) -> int:
        """Return how many of the files read so far are runs that are not reported."""
        return sum(self._is_unreported.values())

    def update(self, now: Moment) -> None:
        """Drop the files that are gone, and read some new ones."""
        modified_ns = self._layout.directory_mtime_ns(Directory.OPEN)
        if modified_ns == self._modified_ns:
            return
        names = set(self._layout.names(Directory.OPEN))
        known = {name: known for name, known in self._is_unreported.items() if name in names}
        fresh = islice(sorted(names - known.keys()), MAX_READ)
        self._is_unreported = known | {name: self._read(name) for name in fresh}
        is_complete = len(self._is_unreported) == len(names)
        is_old = abs(now.wall - modified_ns / 1e9) > MTIME_RESOLUTION_SECONDS
        self._modified_ns = modified_ns if is_complete and is_old else -1

    def _read(self, name: str) -> bool:
        """Return whether a file is a run that is not reported; no, if it cannot be read."""
        try:
            return not load_run(self._layout, Directory.OPEN, name).reported
        except (BadFileError, NewerFormatError, OSError):
            return False
