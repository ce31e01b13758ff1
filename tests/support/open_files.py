"""The files that this process has open below a directory, so without those of other tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

CRASH_MARKER = "handling"


def open_files(root: Path) -> dict[int, Path]:
    """Return the descriptors of the files that this process has open below a directory."""
    opened = {int(entry.name): _target(entry) for entry in Path("/proc/self/fd").iterdir()}
    return {fd: target for fd, target in opened.items() if target.is_relative_to(root)}


def close_spools(root: Path) -> None:
    """Close the spools of drains that crashed in a test: no object closes their directories."""
    for fd, target in open_files(root).items():
        if target.is_dir() or target.name == CRASH_MARKER:
            os.close(fd)


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Yield a directory for one of many examples; close its spools at the end."""
    with TemporaryDirectory() as directory:
        yield Path(directory)
        close_spools(Path(directory))


def _target(entry: Path) -> Path:
    """Return the target of a descriptor; an empty path if it has been closed."""
    try:
        return entry.readlink()
    except FileNotFoundError:
        return Path()
