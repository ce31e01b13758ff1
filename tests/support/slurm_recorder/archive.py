"""The recordings of one release as one file, `slurm-SERIES.tar.xz`: `SERIES/SITUATION/FILE`."""

from __future__ import annotations

import tarfile
from pathlib import Path

from unpack import unpack


def archive_of(data: Path, series: str) -> Path:
    """Return the path of a series' archive."""
    return data / f"slurm-{series}.tar.xz"


def series_of(release: str) -> str:
    """Return the series of a release: `24.11` of `24.11.7`."""
    return ".".join(release.split(".")[:2])


def keep(folder: Path, data: Path, series: str) -> Path:
    """Add the situations in a folder to the archive of the series; return its path.

    A situation that was recorded before is replaced. The old file stays until the new one is
    complete.
    """
    data.mkdir(exist_ok=True)
    target = archive_of(data, series)
    if target.exists():
        fresh = {path.name for path in folder.iterdir()}
        unpack(target, folder.parent / "old")
        for path in (folder.parent / "old" / series).iterdir():
            if path.name not in fresh:
                path.rename(folder / path.name)
    part = target.with_suffix(".part")
    with tarfile.open(part, "w:xz") as new:
        for path in sorted(folder.rglob("*")):
            new.add(path, f"{series}/{path.relative_to(folder)}", recursive=False, filter=_plain)
    part.rename(target)
    return target


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member without the user and the time of its recording."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member
