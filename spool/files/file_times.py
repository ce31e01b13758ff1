"""Names and times of the files in a spool: enough to count what waits and since when.

Separate from `inventory`, which reads runs: `status` and `check` do not read them.
"""

from __future__ import annotations

from spool.files.layout import Directory, Layout

LISTED = (Directory.NEW, Directory.TODO, Directory.OPEN, Directory.DEAD)
WHY_SUFFIX = ".why"


def list_names(layout: Layout, directory: Directory) -> list[tuple[float, str]]:
    """Return mtime (Unix seconds) and name of each file in a directory, oldest first.

    The `.why` files of dead letters are omitted. No file is opened.
    """
    return sorted(_mtimes(layout, directory))


def waiting_times(layout: Layout, directory: Directory) -> list[float]:
    """Return since when each file waits in a directory, Unix seconds, oldest first."""
    return sorted([mtime for mtime, _ in _mtimes(layout, directory)])


def _mtimes(layout: Layout, directory: Directory) -> list[tuple[float, str]]:
    found = layout.mtimes(directory)
    if directory is Directory.DEAD:
        return [file for file in found if not file[1].endswith(WHY_SUFFIX)]
    return found
