"""An empty spool: its directories without files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spool.files.layout import Directory, Layout


def make_directories(root: Path) -> None:
    """Make the directories of a spool; they may exist already."""
    for directory in Directory:
        (root / directory).mkdir(parents=True, exist_ok=True)


@contextmanager
def empty_spool(root: Path) -> Iterator[Layout]:
    """Yield a new, open spool without files."""
    make_directories(root)
    with Layout(root) as made:
        yield made
