"""Other processes, as `/proc` shows them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def has_children(process: subprocess.Popen[bytes] | None) -> bool:
    """Return whether a process has started another one that still runs."""
    if process is None:
        return False
    parent = str(process.pid)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if path.read_text().rpartition(")")[2].split()[1] == parent:
                return True
        except OSError:  # it has ended
            continue
    return False
