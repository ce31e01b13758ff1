"""An index of the run files that are not loaded: about 100 bytes each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from spool.errors import BadFileError
from spool.files.layout import Directory
from spool.files.run import parse_run_name, run_name

_DIRECTORIES = (Directory.TODO, Directory.OPEN)


class RunIndex:
    """Start times by job id, one mapping for `todo/` and one for `open/`."""

    def __init__(self) -> None:
        self._starts: dict[Directory, dict[int, int | tuple[int, ...]]] = {
            directory: {} for directory in _DIRECTORIES
        }
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __contains__(self, name: object) -> bool:
        return self.directory_of(str(name)) is not None

    def add(self, name: str, directory: Directory) -> bool:
        """Add a name; return False if it is not the name of a run file."""
        try:
            job_id, start = parse_run_name(name)
        except BadFileError:
            return False
        starts = self._starts[directory]
        old = _as_tuple(starts.get(job_id, ()))
        if start not in old:
            starts[job_id] = start if not old else (*old, start)
            self._size += 1
        return True

    def directory_of(self, name: str) -> Directory | None:
        """Return the directory of a run file; None if it is not in the index."""
        try:
            job_id, start = parse_run_name(name)
        except BadFileError:
            return None
        for directory in _DIRECTORIES:
            if start in _as_tuple(self._starts[directory].get(job_id, ())):
                return directory
        return None

    def take_lane(self, job_id: int) -> list[tuple[Directory, str]]:
        """Remove and return the files of a job id."""
        files = [
            (directory, run_name(job_id, start))
            for directory in _DIRECTORIES
            for start in _as_tuple(self._starts[directory].pop(job_id, ()))
        ]
        self._size -= len(files)
        return files

    def job_ids(self, directory: Directory, limit: int) -> list[int]:
        """Return the first job ids of a directory, in the order in which they were added."""
        return list(islice(self._starts[directory], limit))

    def count(self, directory: Directory) -> int:
        """Return how many job ids a directory has."""
        return len(self._starts[directory])

    def keys(self, directory: Directory) -> Iterator[tuple[int, int]]:
        """Yield job id and start time of every indexed file of a directory."""
        for job_id, starts in list(self._starts[directory].items()):
            for start in _as_tuple(starts):
                yield job_id, start


def _as_tuple(starts: int | tuple[int, ...]) -> tuple[int, ...]:
    return (starts,) if isinstance(starts, int) else starts


def job_id_of(name: str) -> int:
    """Return the job id that a file name begins with; 0 if there is none."""
    return int(name.partition("-")[0]) if name.partition("-")[0].isdecimal() else 0
