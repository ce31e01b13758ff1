"""A spool with a run store whose disk may fail, for tests of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from slurm.job import Job
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import Schedule
from spool.files import codec
from spool.files.archive import DeliveredArchive
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, LastError, Run
from spool.files.state_files import CrashMarker
from spool.moment import Moment

NOON = 1_767_225_600
NOW = Moment(wall=float(NOON), steady=5000.0)
START = NOON - 100
OVER = End(time=START + 50, state="COMPLETED", source=EndSource.CONTROLLER)
REFUSED = LastError(time=START, call="start", outcome="rejected", reason="bad", message="no")


class Disk(WriteBatch):
    """A batch whose writes fail while `put_error` is set."""

    put_error: ClassVar[OSError | None] = None

    def put(
        self, directory: Directory, name: str, contents: bytes, *, mtime: float | None = None
    ) -> None:
        """Write a file, or raise `put_error`."""
        if Disk.put_error is not None:
            raise Disk.put_error
        super().put(directory, name, contents, mtime=mtime)


def new_loader(layout: Layout) -> RunLoader:
    """Return a loader of run files as a starting drain makes it."""
    return RunLoader(layout, CrashMarker(layout.root / "handling"))


def new_store(layout: Layout, loader: RunLoader) -> RunStore:
    """Return a run store as a starting drain makes it."""
    archive = DeliveredArchive(layout.root / "delivered", keep_days=3)
    return RunStore(layout, Schedule(), archive, loader=loader, new_batch=Disk)


@contextmanager
def working_store(layout: Layout, loader: RunLoader) -> Iterator[RunStore]:
    """Yield an empty store on a working disk, which a test can make fail."""
    Disk.put_error = None
    yield new_store(layout, loader)
    Disk.put_error = None


def later(seconds: float) -> Moment:
    """Return the moment so many seconds after `NOW`."""
    return Moment(NOW.wall + seconds, NOW.steady + seconds)


def run(job_id: int = 1, **facts: Any) -> Run:
    """Return a run of a job with some facts changed."""
    made = Run(job=Job(job_id=job_id, nodes=("n1",)), start_time=START)
    return replace(made, **facts)


def event(layout: Layout, name: str) -> str:
    """Put an event into `new/`."""
    (layout.root / "new" / name).touch()
    return name


def put(layout: Layout, made: Run, directory: Directory | None = None) -> Path:
    """Write a run file to the directory where it belongs, or to a given one."""
    path = layout.root / (directory or made.directory) / made.name
    path.write_bytes(codec.encode(made))
    return path


def noted(layout: Layout, store: RunStore, *runs: Run) -> None:
    """Write run files to the directories where they belong and add their names to the store."""
    for each in runs:
        put(layout, each)
        assert store.add_file(each.directory, each.name)


def loaded(store: RunStore) -> list[int]:
    """Return the job ids of the runs in memory."""
    return sorted(entry.job_id for entry in store.schedule)


def files(layout: Layout) -> dict[str, list[str]]:
    """Return the names of the files in each directory, without empty directories."""
    names = {d.value: sorted(layout.names(d)) for d in Directory}
    return {directory: found for directory, found in names.items() if found}
