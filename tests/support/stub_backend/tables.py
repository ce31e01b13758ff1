"""Tables of jobs as SQLite keeps them: unique by tuple, row ids one above the highest in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

Key = tuple[int, str, int]
Row = dict[str, Any]


class Table(MutableMapping[Key, Row]):
    """Rows by (job id, cluster, start time), in the order of their insertion."""

    def __init__(self, rows: Mapping[Key, Row] | None = None) -> None:
        self.clear()
        self.update(rows or {})

    def clear(self) -> None:
        """Remove all rows."""
        self._rows: dict[Key, Row] = {}
        self._of_job: dict[int, dict[Key, None]] = {}
        self._by_id: dict[int, Key] = {}
        self._highest: int | None = 0

    def __getitem__(self, key: Key) -> Row:
        return self._rows[key]

    def __setitem__(self, key: Key, row: Row) -> None:
        if key in self._rows:
            del self[key]
        self._rows[key] = row
        self._of_job.setdefault(key[0], {})[key] = None
        number = row.setdefault("id", self.next_id())
        self._by_id[number] = key
        self._highest = max(self.next_id() - 1, number)

    def __delitem__(self, key: Key) -> None:
        number = self._rows.pop(key)["id"]
        del self._by_id[number]
        del self._of_job[key[0]][key]
        if number == self._highest:
            self._highest = None

    def __iter__(self) -> Iterator[Key]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def next_id(self) -> int:
        """Return the id of the next row; the id of a deleted newest row is used again."""
        if self._highest is None:
            self._highest = max(self._by_id, default=0)
        return self._highest + 1

    def row(self, number: int) -> tuple[Key, Row] | None:
        """Return the row with an id and its key; None if there is none."""
        key = self._by_id.get(number)
        return None if key is None else (key, self._rows[key])

    def runs(self, job_id: int, cluster: str | None = None, start: int | None = None) -> list[Key]:
        """Return the keys of a job id's runs by row id; None: any cluster, any start."""
        keys = (
            key
            for key in self._of_job.get(job_id, ())
            if cluster in (None, key[1]) and start in (None, key[2])
        )
        return sorted(keys, key=lambda key: int(self._rows[key]["id"]))
