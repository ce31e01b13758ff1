"""Delivered runs that are kept for a while."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slurm.job import Job
from spool.files import archive as module
from spool.files import codec
from spool.files.archive import DeliveredArchive, archive_lines
from spool.files.run import End, EndSource, Run

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
DAY = 86400
RUN = Run(
    job=Job(job_id=5, name="x\ny"),
    start_time=100,
    started=101,
    end=End(time=200, state="COMPLETED", source=EndSource.CONTROLLER),
)


def archive(tmp_path: Path, keep_days: float = 3) -> DeliveredArchive:
    """Return an archive whose directory does not exist yet."""
    return DeliveredArchive(tmp_path / "delivered", keep_days=keep_days)


def kept(tmp_path: Path) -> dict[str, list[str]]:
    """Return the lines of each file."""
    files = (tmp_path / "delivered").glob("*")
    return {file.name: file.read_text().splitlines() for file in files}


def test_a_delivered_run_is_one_line_in_the_file_of_its_hour(tmp_path: Path) -> None:
    """The archive's file has date and hour as its name; the line is the contents of a run file."""
    archive(tmp_path).add(RUN, NOW + 3600)

    ((name, (line,)),) = kept(tmp_path).items()

    assert ("20260101T01.jsonl", RUN) == (name, codec.decode(RUN.name, line.encode()))


def test_runs_of_one_hour_share_a_file(tmp_path: Path) -> None:
    """Each run is one line, even if the job's name contains a newline."""
    archive(tmp_path).add(RUN, NOW)
    archive(tmp_path).add(RUN, NOW + 3599)

    assert [2] == [len(lines) for lines in kept(tmp_path).values()]


def test_other_users_cannot_read_the_archive(tmp_path: Path) -> None:
    """Archived runs contain job scripts: others have no access, the group cannot write."""
    archive(tmp_path).add(RUN, NOW)
    (file,) = (tmp_path / "delivered").iterdir()

    assert (0, 0) == (file.stat().st_mode & 0o027, file.parent.stat().st_mode & 0o027)


def test_the_archive_is_off_with_0_days(tmp_path: Path) -> None:
    """With `keep_days` 0 a delivered run is not archived, and no directory is made."""
    archive(tmp_path, keep_days=0).add(RUN, NOW)

    assert [] == list(tmp_path.iterdir())


def test_a_run_that_cannot_be_archived_gives_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file has the name of the archive's directory; the log names the run, no error is raised."""
    (tmp_path / "delivered").write_text("in the way")
    archive(tmp_path).add(RUN, NOW)

    assert "5-100.json is not archived" in caplog.text


def test_an_incomplete_line_is_removed_from_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up in the middle of a line must not damage the next line."""
    archive(tmp_path).add(RUN, NOW)
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, line: write(fd, line[:20]))
        archive(tmp_path).add(RUN, NOW)
    archive(tmp_path).add(RUN, NOW)

    assert [[codec.encode(RUN).decode().strip()] * 2] == list(kept(tmp_path).values())


def refuse(*_: object, **__: object) -> None:
    """Fail like a directory with the immutable attribute."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


def old_file(tmp_path: Path, name: str, *, age: float, size: int = 1) -> None:
    """Write a (sparse) file of a given age to the archive."""
    directory = tmp_path / "delivered"
    directory.mkdir(exist_ok=True)
    with (directory / name).open("wb") as file:
        file.truncate(size)
    os.utime(directory / name, (NOW - age, NOW - age))


@pytest.mark.parametrize(("age", "left"), [(3 * DAY, 1), (3 * DAY + 1, 0)])
def test_an_archive_file_older_than_keep_days_is_removed(
    tmp_path: Path, age: float, left: int
) -> None:
    """With 3 days a file stays at exactly 3 days and is removed one second later."""
    old_file(tmp_path, "20251229T00.jsonl", age=age)
    archive(tmp_path).expire(NOW)

    assert left == len(kept(tmp_path))


def test_the_oldest_archive_files_are_removed_above_the_size_limit(tmp_path: Path) -> None:
    """The newest files stay, as long as their sizes together are within the limit."""
    limit = module.LIMIT_BYTES
    facts: list[tuple[str, dict[str, Any]]] = [
        ("20251231T23.jsonl", {"age": 60, "size": limit // 2}),
        ("20251231T22.jsonl", {"age": 3660, "size": limit // 2}),
        ("20251231T21.jsonl", {"age": 7260, "size": 1}),
    ]
    for name, of in facts:
        old_file(tmp_path, name, **of)
    archive(tmp_path).expire(NOW)

    assert {"20251231T22.jsonl", "20251231T23.jsonl"} == {
        file.name for file in (tmp_path / "delivered").iterdir()
    }


def test_removing_old_files_of_a_missing_archive_is_no_error(tmp_path: Path) -> None:
    """The archive's directory does not exist before the first delivery; it is not made."""
    archive(tmp_path).expire(NOW)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("obstacle", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_old_files_are_removed_although_one_cannot_be_removed(
    tmp_path: Path, obstacle: Callable[[Path], None]
) -> None:
    """A directory or a dangling link in the archive does not stop the removal of old files."""
    old_file(tmp_path, "20251201T00.jsonl", age=4 * DAY)
    odd = tmp_path / "delivered" / "20251202T00.jsonl"
    obstacle(odd)
    os.utime(odd, (NOW - 4 * DAY, NOW - 4 * DAY), follow_symlinks=False)
    archive(tmp_path).expire(NOW)

    assert not (tmp_path / "delivered" / "20251201T00.jsonl").exists()


def test_files_that_cannot_be_removed_give_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two old files of the archive cannot be removed: one line is logged, not two."""
    for name in ("20251201T00.jsonl", "20251201T01.jsonl"):
        old_file(tmp_path, name, age=4 * DAY)
    monkeypatch.setattr(os, "unlink", refuse)
    archive(tmp_path).expire(NOW)

    (message,) = [record.message for record in caplog.records]
    assert message.startswith(f"old files in {tmp_path / 'delivered'} cannot be removed: ")
    assert "removed: Operation not permitted; the drain tries again" in message


def test_an_archive_file_removed_meanwhile_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator removed an old archive file to free space; no warning is logged."""
    old_file(tmp_path, "20251201T00.jsonl", age=4 * DAY)

    def vanish(path: Path) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "unlink", vanish)
    archive(tmp_path).expire(NOW)

    assert "" == caplog.text


def test_an_archive_that_cannot_be_listed_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is only a copy; the drain starts and continues without it."""
    archive(tmp_path).add(RUN, NOW)
    monkeypatch.setattr(os, "open", refuse)
    archive(tmp_path).expire(NOW)

    assert [] == archive(tmp_path).recent_runs()
    assert f"{tmp_path}/delivered cannot be read: Operation not permitted" in caplog.text


def test_recent_runs_skip_invalid_lines_of_the_archive(tmp_path: Path) -> None:
    """Runs are read from the two newest files; a bad line or file must not stop the drain."""
    archive = DeliveredArchive(tmp_path / "delivered", keep_days=3)
    before = archive.recent_runs()
    (tmp_path / "delivered").mkdir()
    line = '{"job":{"job_id":%d},"start_time":5,"end":{"time":9}}\n'
    for hour in range(3):
        absurd = line.replace("%d", "1e400") + "[" * 100_000 + "\n"
        text = "".join([line % hour, "}\n", "{}\n", '{"job":{"job_id":1},"end":null}\n', absurd])
        (tmp_path / "delivered" / f"20260101T0{hour}.jsonl").write_text(text)
    after = archive.recent_runs()
    (tmp_path / "delivered" / "20260101T03.jsonl").mkdir()

    assert ([], [(1, 5, 9), (2, 5, 9)]) == (before, after)
    assert [(2, 5, 9)] == archive.recent_runs()


def test_a_file_that_expires_while_an_archive_is_read_is_no_error(tmp_path: Path) -> None:
    """The drain may remove old files of the archive while a command reads them."""
    for name in ("20260101T00.jsonl", "20260101T01.jsonl", "20260101T02.jsonl"):
        (tmp_path / name).write_text(f"{name}\n")
    lines = archive_lines(tmp_path)
    first = next(lines)
    (tmp_path / "20260101T01.jsonl").unlink()

    assert [b"20260101T00.jsonl\n", b"20260101T02.jsonl\n"] == [first, *lines]


def test_the_last_archive_line_without_a_newline_is_read(tmp_path: Path) -> None:
    """An editor may have removed the newline at the end of an archive file."""
    archive(tmp_path).add(RUN, NOW)
    (file,) = (tmp_path / "delivered").iterdir()
    file.write_bytes(file.read_bytes().rstrip())

    assert [(5, 100, 200)] == archive(tmp_path).recent_runs()
