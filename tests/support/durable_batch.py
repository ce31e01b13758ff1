"""A spool, a batch that changes six of its runs, and a journal of the batch's system calls."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from real_calls import RealCalls

from slurm.job import Job
from spool.errors import BadFileError
from spool.files import codec
from spool.files.dead_letters import move_run_to_dead
from spool.files.durable_files import WriteBatch
from spool.files.layout import RUN_DIRECTORIES, Directory, Layout
from spool.files.run import End, EndSource, LastError, Run

OVER = End(time=200, state="COMPLETED", source=EndSource.CONTROLLER)
REFUSED = LastError(time=150, call="start", outcome="rejected", reason="bad", message="no")
Files = dict[tuple[Directory, str], bytes]


def run(job_id: int, *, started: bool = False, end: End | None = None) -> Run:
    """Return a small run of a job."""
    return Run(job=Job(job_id=job_id), start_time=100, started=101 if started else None, end=end)


def files(layout: Layout) -> Files:
    """Return the contents of all files of a spool."""
    return {
        (directory, name): (layout.root / directory / name).read_bytes()
        for directory in Directory
        for name in layout.names(directory)
    }


def create_file(layout: Layout, *runs: Run, directory: Directory | None = None) -> None:
    """Write run files to the directories where they belong, or to a given one."""
    for each in runs:
        path = layout.root / (directory or each.directory) / each.name
        path.write_bytes(codec.encode(each))


class Call(NamedTuple):
    """A system call: `fsync` of a file (in `tmp`) or directory, `rename`, `unlink`."""

    verb: str
    directory: Directory
    name: str = ""
    source: str = ""


@dataclass
class Journal(RealCalls):
    """The real system calls, recorded in order; one of them fails if `fails_at` is set."""

    layout: Layout
    fails_at: int | None = None
    calls: list[Call] = field(default_factory=list)
    written: dict[str, bytes] = field(default_factory=dict)

    def fsync(self, fd: int, /) -> None:
        """Record which file or directory becomes durable."""
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.is_dir():
            self._note(Call("fsync", Directory(path.name)))
        else:
            self._note(Call("fsync", Directory.TMP, path.name))
            self.written[path.name] = path.read_bytes()
        os.fsync(fd)

    def rename(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Record a new name."""
        self._note(Call("rename", self._directory(dst_dir_fd), str(dst), str(src)))
        path = self.layout.root / Directory.TMP / src
        self.written.setdefault(str(src), path.read_bytes())
        os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Record a removal from any directory except `tmp/`."""
        if self._directory(dir_fd) is not Directory.TMP:
            self._note(Call("unlink", self._directory(dir_fd), str(path)))
        os.unlink(path, dir_fd=dir_fd)

    def _directory(self, fd: int | None) -> Directory:
        return next(d for d in Directory if self.layout.fd(d) == fd)

    def _note(self, call: Call) -> None:
        if len(self.calls) == self.fails_at:
            raise OSError(errno.EIO, "Input/output error")
        self.calls.append(call)


def recovered_run(disk: Files, name: str) -> Run | None:
    """Return the run that a recovery reads: the one in the first directory that has it."""
    for directory in RUN_DIRECTORIES:
        if (directory, name) in disk:
            return codec.decode(name, disk[directory, name])
    return None


# A batch with every kind of change. The events e1 ... e6 reported the runs 1 ... 6.
NEW = run(1)
REPORTED = (run(2), run(2, started=True))
ENDED = (run(3, started=True), run(3, started=True, end=OVER))
POISON = run(4)
DONE = run(5, started=True, end=OVER)
CHANGED = (run(6), replace(run(6), attempts=3))
EVENTS = [f"e{number}" for number in range(1, 7)]


def busy(layout: Layout, batch: WriteBatch) -> Files:
    """Fill a spool and a batch; return the files before the commit."""
    for name in EVENTS:
        (layout.root / "new" / name).touch()
    create_file(layout, REPORTED[0], ENDED[0], POISON, DONE, CHANGED[0])
    before = files(layout)
    batch.put_run(NEW)
    for _, value in (REPORTED, ENDED, CHANGED):
        batch.put_run(value)
    move_run_to_dead(batch, POISON, REFUSED)
    for directory in (Directory.TODO, Directory.OPEN):
        batch.remove(directory, DONE.name)
    for name in EVENTS:
        batch.remove(Directory.NEW, name)
    return before


KNOWN: dict[int, tuple[Run, ...]] = {
    1: (NEW,),
    2: REPORTED,
    3: ENDED,
    4: (POISON, replace(POISON, last_error=REFUSED)),
    6: CHANGED,
}


def loss(disk: Files, number: int) -> str | None:
    """Return a description of what a disk has lost of one run; None: nothing."""
    values = KNOWN[number]
    try:
        found = recovered_run(disk, values[0].name)
    except BadFileError as error:
        return str(error)
    has_event = (Directory.NEW, f"e{number}") in disk
    if found is None:
        return None if number == 1 and has_event else f"run {number} is gone"
    if found not in values:
        return f"run {number} is another"
    if number == 3 and found.end is None and not has_event:
        return "the end of run 3 is forgotten"
    return None


def losses(disk: Files) -> list[str]:
    """Return descriptions of everything that a disk has lost."""
    return [words for number in KNOWN if (words := loss(disk, number)) is not None]
