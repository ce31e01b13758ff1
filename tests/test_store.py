"""Durable changes: every run survives a death, a failing disk and a power cut at any call."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from real_calls import RealCalls

from slurm.job import Job
from spool.errors import BadFileError, NewerFormatError
from spool.files import codec
from spool.files.dead_letters import move_run_to_dead
from spool.files.durable_files import NewFile, WriteBatch, create_files, load_run
from spool.files.durable_files import create_file as place_free
from spool.files.layout import RUN_DIRECTORIES, Directory, Layout
from spool.files.run import End, EndSource, LastError, Run, waiting_since

OVER = End(time=200, state="COMPLETED", source=EndSource.CONTROLLER)
REFUSED = LastError(time=150, call="start", outcome="rejected", reason="bad", message="no")
Files = dict[tuple[Directory, str], bytes]


def run(job_id: int, *, started: bool = False, end: End | None = None) -> Run:
    """Return a run."""
    return Run(job=Job(job_id=job_id), start_time=100, started=101 if started else None, end=end)


def files(layout: Layout) -> Files:
    """Return all files of a spool."""
    return {
        (directory, name): (layout.root / directory / name).read_bytes()
        for directory in Directory
        for name in layout.names(directory)
    }


def create_file(layout: Layout, *runs: Run, directory: Directory | None = None) -> None:
    """Write runs into their directories, or into another."""
    for each in runs:
        path = layout.root / (directory or each.directory) / each.name
        path.write_bytes(codec.encode(each))


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Return an empty spool."""
    for directory in Directory:
        (tmp_path / directory).mkdir()
    with Layout(tmp_path) as made:
        yield made


class Call(NamedTuple):
    """A system call: `fsync` of a file (in `tmp`) or directory, `rename`, `unlink`."""

    verb: str
    directory: Directory
    name: str = ""
    source: str = ""


@dataclass
class Journal(RealCalls):
    """Does what it is asked on the real disk and notes it; fails at one call if told to."""

    layout: Layout
    fails_at: int | None = None
    calls: list[Call] = field(default_factory=list)
    written: dict[str, bytes] = field(default_factory=dict)

    def fsync(self, fd: int, /) -> None:
        """Note which file or directory became durable."""
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
        """Note a new name."""
        self._note(Call("rename", self._directory(dst_dir_fd), str(dst), str(src)))
        path = self.layout.root / Directory.TMP / src
        self.written.setdefault(str(src), path.read_bytes())
        os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Note a removal from a directory that counts."""
        if self._directory(dir_fd) is not Directory.TMP:
            self._note(Call("unlink", self._directory(dir_fd), str(path)))
        os.unlink(path, dir_fd=dir_fd)

    def _directory(self, fd: int | None) -> Directory:
        return next(d for d in Directory if self.layout.fd(d) == fd)

    def _note(self, call: Call) -> None:
        if len(self.calls) == self.fails_at:
            raise OSError(errno.EIO, "Input/output error")
        self.calls.append(call)


def after_power_cut(
    before: Files, journal: Journal, done: int, *, names: Container[str]
) -> Iterator[Files]:
    """Yield every state some files may be in when the power goes after so many calls.

    A file that was not fsynced may be whole, cut or empty; a rename or removal whose directory was
    not fsynced afterwards may be undone, each by itself. So what is asked about one run can be
    answered from the states of its own files: all states of these, not of the whole disk.
    """
    calls = journal.calls[:done]
    durable = {call.name for call in calls if call.verb == "fsync" and call.name}
    changes = [
        (call, Call("fsync", call.directory) in calls[position:])
        for position, call in enumerate(calls)
        if call.verb != "fsync" and call.name in names
    ]
    outcomes = [_outcomes(call, is_safe, durable) for call, is_safe in changes]
    for chosen in product(*outcomes):
        disk = {place: contents for place, contents in before.items() if place[1] in names}
        for (call, _), outcome in zip(changes, chosen, strict=True):
            if outcome is None:
                continue
            if call.verb == "unlink":
                disk.pop((call.directory, call.name), None)
            else:
                whole = journal.written[call.source]
                disk[call.directory, call.name] = whole[: int(len(whole) * outcome)]
        yield disk


def _outcomes(call: Call, is_safe: bool, durable: set[str]) -> list[float | None]:  # noqa: FBT001 - a table
    """Return what may come of a change: None undone, else the share of the contents."""
    outcomes: list[float | None] = [1.0]
    if call.verb == "rename" and call.source not in durable:
        outcomes += [0.5, 0.0]
    return outcomes if is_safe else [*outcomes, None]


def winner(disk: Files, name: str) -> Run | None:
    """Return the run that a recovery takes: that of the earliest directory."""
    for directory in RUN_DIRECTORIES:
        if (directory, name) in disk:
            return codec.decode(name, disk[directory, name])
    return None


# A batch with everything in it. The events e1 ... e6 told of the runs 1 ... 6.
NEW = run(1)
TOLD = (run(2), run(2, started=True))
ENDED = (run(3, started=True), run(3, started=True, end=OVER))
POISON = run(4)
DONE = run(5, started=True, end=OVER)
CHANGED = (run(6), replace(run(6), attempts=3))
EVENTS = [f"e{number}" for number in range(1, 7)]


def busy(layout: Layout, batch: WriteBatch) -> Files:
    """Lay out a spool and fill a batch; return the files before."""
    for name in EVENTS:
        (layout.root / "new" / name).touch()
    create_file(layout, TOLD[0], ENDED[0], POISON, DONE, CHANGED[0])
    before = files(layout)
    batch.put_run(NEW)
    for _, value in (TOLD, ENDED, CHANGED):
        batch.put_run(value)
    move_run_to_dead(batch, POISON, REFUSED)
    for directory in (Directory.TODO, Directory.OPEN):
        batch.remove(directory, DONE.name)
    for name in EVENTS:
        batch.remove(Directory.NEW, name)
    return before


KNOWN: dict[int, tuple[Run, ...]] = {
    1: (NEW,),
    2: TOLD,
    3: ENDED,
    4: (POISON, replace(POISON, last_error=REFUSED)),
    6: CHANGED,
}


def loss(disk: Files, number: int) -> str | None:
    """Return what a disk has lost of one run, in words."""
    values = KNOWN[number]
    try:
        found = winner(disk, values[0].name)
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
    """Return what a disk has lost, in words."""
    return [words for number in KNOWN if (words := loss(disk, number)) is not None]


class RemovesFirst(WriteBatch):
    """Broken on purpose: what is replaced goes before what replaces it is safe."""

    def commit(self) -> None:
        """Remove, then write."""
        written, self._written = self._written, []
        super().commit()
        self._written = written
        super().commit()


class NeverSyncsFiles(WriteBatch):
    """Broken on purpose: contents may come after names."""

    def _fsync_open(self) -> None:
        opened, self._open = self._open, []
        for fd in opened:
            os.close(fd)


class NeverSyncsDirectories(WriteBatch):
    """Broken on purpose: names may come after removals."""

    def commit(self) -> None:
        """Leave out what syncs directories."""
        removed, self._removed = self._removed, []
        self._fsync_open()
        for directory, name in self._written:
            self._move_from_tmp(directory, name)
        self._written, self._removed = [], removed
        super().commit()


def lost_by(layout: Layout, new_batch: type[WriteBatch]) -> set[str]:
    """Return what a batch can lose in a power cut after any of its calls."""
    journal = Journal(layout)
    batch = new_batch(layout, journal)
    before = busy(layout, batch)
    batch.commit()
    return {
        words
        for done in range(len(journal.calls) + 1)
        for number, (run_of_it, *_) in KNOWN.items()
        for disk in after_power_cut(before, journal, done, names={run_of_it.name, f"e{number}"})
        if (words := loss(disk, number)) is not None
    }


class CountingCalls(RealCalls):
    """Counts the files that are open at once."""

    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    fsync = staticmethod(os.fsync)

    def __init__(self) -> None:
        self.opened: set[int] = set()
        self.most = 0

    def open(self, *words: Any, **places: Any) -> int:
        """Open a file."""
        fd = os.open(*words, **places)
        self.opened.add(fd)
        self.most = max(self.most, len(self.opened))
        return fd

    def close(self, fd: int, /) -> None:
        """Close it."""
        self.opened.discard(fd)
        os.close(fd)


def test_a_group_of_any_size_needs_few_open_files(layout: Layout) -> None:
    """After an outage thousands of runs change at once, and a process may open 1 024 files."""
    calls = CountingCalls()
    batch = WriteBatch(layout, calls)
    for number in range(1, 1501):
        batch.put_run(run(number))
    batch.commit()

    assert 1500 == len([*layout.names(Directory.TODO)])
    assert calls.most < 512
    assert not calls.opened


def test_a_power_cut_at_any_call_loses_nothing(layout: Layout) -> None:
    """Each run is in some directory, or its event is."""
    assert set() == lost_by(layout, WriteBatch)


@pytest.mark.parametrize("new_batch", [RemovesFirst, NeverSyncsFiles, NeverSyncsDirectories])
def test_a_wrong_order_of_calls_is_noticed(layout: Layout, new_batch: type[WriteBatch]) -> None:
    """The model of the power cut is worth what it catches."""
    assert set() != lost_by(layout, new_batch)


def test_a_group_is_durable_when_it_returns(layout: Layout) -> None:
    """Every directory holds what it should, and nothing else."""
    batch = WriteBatch(layout)
    busy(layout, batch)
    batch.commit()

    assert {
        (Directory.TODO, NEW.name): NEW,
        (Directory.OPEN, TOLD[1].name): TOLD[1],
        (Directory.TODO, ENDED[1].name): ENDED[1],
        (Directory.DEAD, POISON.name): replace(POISON, last_error=REFUSED),
        (Directory.TODO, CHANGED[1].name): CHANGED[1],
    } == {
        (directory, name): codec.decode(name, contents)
        for (directory, name), contents in files(layout).items()
    }


def test_a_durable_change_stays_through_a_power_cut(layout: Layout) -> None:
    """What the batch wrote is there, whatever becomes of its removals."""
    journal = Journal(layout)
    batch = WriteBatch(layout, journal)
    before = busy(layout, batch)
    batch.commit()
    disks = after_power_cut(before, journal, len(journal.calls), names={NEW.name})

    assert {codec.encode(NEW)} == {disk[Directory.TODO, NEW.name] for disk in disks}


def calls_of(layout: Layout) -> int:
    """Return how many calls the busy batch takes."""
    journal = Journal(layout)
    batch = WriteBatch(layout, journal)
    busy(layout, batch)
    batch.commit()
    return len(journal.calls)


CALLS = 27  # test_every_call_is_tried holds this


def test_every_call_is_tried(layout: Layout) -> None:
    """The tests below fail each one."""
    assert CALLS == calls_of(layout)


@pytest.mark.parametrize("fails_at", range(CALLS))
def test_an_error_at_any_call_loses_nothing(layout: Layout, fails_at: int) -> None:
    """The disk is as after a death there."""
    batch = WriteBatch(layout, Journal(layout, fails_at))
    busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()

    assert [] == losses(files(layout))


@pytest.mark.parametrize("fails_at", range(CALLS))
def test_an_error_at_any_call_leaves_nothing_behind(layout: Layout, fails_at: int) -> None:
    """No file in `tmp/`, no descriptor, nothing that the batch would do again."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    batch = WriteBatch(layout, Journal(layout, fails_at))
    busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()

    assert ([], 0) == (list(layout.names(Directory.TMP)), len(batch))
    assert before == len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("fails_at", range(CALLS))
def test_the_work_can_be_done_again_after_an_error(layout: Layout, fails_at: int) -> None:
    """Repeating is harmless."""
    batch = WriteBatch(layout, Journal(layout, fails_at))
    busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()
    again = WriteBatch(layout)
    busy(layout, again)
    again.commit()

    assert 5 == len(files(layout))


def test_nothing_is_removed_when_a_write_fails(layout: Layout) -> None:
    """The disk is full: events and old files stay."""
    batch = WriteBatch(layout, Journal(layout, fails_at=0))
    before = busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()

    assert before == files(layout)


def test_a_write_that_does_not_fit_leaves_the_group_as_it_was(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fitted before is committed."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(OSError, match="No space"):
            batch.put(Directory.TODO, "other", b"contents")
    batch.commit()

    assert {(Directory.TODO, NEW.name): codec.encode(NEW)} == files(layout)


def test_a_disk_that_takes_a_little_at_a_time_gets_all(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may be partial."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    batch = WriteBatch(layout)
    batch.put(Directory.TODO, "a", b"0123456789")
    batch.commit()

    assert {(Directory.TODO, "a"): b"0123456789"} == files(layout)


@pytest.mark.parametrize("value", [NEW, *ENDED])
def test_the_time_of_a_run_file_is_since_when_it_waits(layout: Layout, value: Run) -> None:
    """However often it is written: nobody need open it to know."""
    batch = WriteBatch(layout)
    batch.put_run(replace(value, attempts=3, not_before=5000))
    batch.commit()

    assert waiting_since(value) == layout.mtime(value.directory, value.name)


def test_of_many_new_files_the_taken_names_are_told(layout: Layout) -> None:
    """The others are there; nothing is replaced and nothing is left in `tmp/`."""
    files_before = {(Directory.TODO, "b"): b"old"}
    (layout.root / "todo" / "b").write_bytes(b"old")
    taken = create_files(
        layout, Directory.TODO, [NewFile(name=n, contents=b"new") for n in ("a", "b", "c")]
    )

    new = {(Directory.TODO, name): b"new" for name in ("a", "c")}
    assert ({"b"}, files_before | new) == (taken, files(layout))


def test_new_files_that_do_not_fit_leave_nothing(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even half of the first."""

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space"):
        create_files(layout, Directory.TODO, [NewFile(name=n, contents=b"new") for n in ("a", "b")])

    assert {} == files(layout)


def test_an_abandoned_group_changes_nothing(layout: Layout) -> None:
    """Nothing is left in `tmp/` either."""
    batch = WriteBatch(layout)
    before = busy(layout, batch)
    batch.rollback()
    batch.commit()

    assert before == files(layout)


def test_an_abandoned_group_cleans_what_it_can(layout: Layout) -> None:
    """Somebody may have cleaned before."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)
    for path in (layout.root / "tmp").iterdir():
        path.unlink()
    batch.rollback()

    assert 0 == len(batch)


def test_a_group_counts_its_changes(layout: Layout) -> None:
    """Writes and removals."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)
    batch.remove(Directory.NEW, "e1")

    assert 3 == len(batch)


def test_one_run_may_be_written_into_two_directories(layout: Layout) -> None:
    """A dead run that came again in the same batch."""
    batch = WriteBatch(layout)
    batch.put(Directory.DEAD, "a", b"dead")
    batch.put(Directory.TODO, "a", b"live")
    batch.commit()

    assert {(Directory.DEAD, "a"): b"dead", (Directory.TODO, "a"): b"live"} == files(layout)


def test_a_run_file_is_not_for_everybody(layout: Layout) -> None:
    """It holds the job's script."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)
    batch.commit()

    assert 0 == (layout.root / "todo" / NEW.name).stat().st_mode & 0o027


def test_a_link_in_tmp_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    """It would overwrite another file."""
    other = tmp_path / "other"
    other.write_bytes(b"other")
    batch = WriteBatch(layout)
    batch.put(Directory.TODO, "a", b"x")
    (draft,) = (layout.root / "tmp").iterdir()
    batch.rollback()
    draft.symlink_to(other)
    batch.put(Directory.TODO, "a", b"x")
    batch.commit()

    assert (b"other", {(Directory.TODO, "a"): b"x"}) == (other.read_bytes(), files(layout))


def test_what_died_with_our_pid_left_no_file_to_write_over(layout: Layout) -> None:
    """A `place` that was killed after its link leaves two names of one file."""
    batch = WriteBatch(layout)
    batch.put(Directory.TODO, "a", b"x")
    (draft,) = (layout.root / "tmp").iterdir()
    batch.rollback()
    live = layout.root / "todo" / "a"
    live.write_bytes(b"live")
    draft.hardlink_to(live)

    assert not place_free(layout, Directory.TODO, NewFile(name="a", contents=b"new"))
    assert b"live" == live.read_bytes()


def test_a_run_is_loaded_as_it_was_stored(layout: Layout) -> None:
    """From the directory it lies in."""
    create_file(layout, TOLD[1])

    assert TOLD[1] == load_run(layout, Directory.OPEN, TOLD[1].name)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(codec.LIMIT_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (_sparse, "more than"),
        (Path.touch, "not JSON"),
    ],
)
def test_what_is_no_run_file_is_refused(
    layout: Layout, make: Callable[[Path], None], reason: str
) -> None:
    """With the reason for its dead letter."""
    make(layout.root / "todo" / "5-100.json")
    with pytest.raises(BadFileError, match=reason):
        load_run(layout, Directory.TODO, "5-100.json")


def test_a_run_that_vanished_is_told_apart(layout: Layout) -> None:
    """It is no damage."""
    with pytest.raises(FileNotFoundError):
        load_run(layout, Directory.TODO, "5-100.json")


def test_a_run_of_a_later_version_is_told_apart(layout: Layout) -> None:
    """It is left alone."""
    (layout.root / "todo" / "5-100.json").write_text('{"version": 2}')
    with pytest.raises(NewerFormatError):
        load_run(layout, Directory.TODO, "5-100.json")
