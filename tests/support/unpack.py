"""Unpack archives of the project's own recordings."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: Path, directory: Path) -> None:
    """Unpack a tar archive; Python before 3.11.4 has no filters, later ones ask for one."""
    with tarfile.open(archive) as opened:
        opened.extraction_filter = getattr(tarfile, "data_filter", None)
        opened.extractall(directory)  # noqa: S202 - made by the project itself
