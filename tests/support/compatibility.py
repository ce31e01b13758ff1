"""The table of Slurm series and cc-backend versions, made from the results of tests.

A test that has run jobs from start to end with a pair records it by `note`; `make compatibility`
runs these tests and writes the table to a page. Without COMPATIBILITY_RESULTS `note` does nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

BEGIN = "<!-- compatibility: written by `make compatibility` -->\n"
END = "<!-- end of compatibility -->\n"
VARIABLE = "COMPATIBILITY_RESULTS"
SERIES = ("21.08", "22.05", "23.02", "23.11", "24.05", "24.11", "25.05", "25.11", "26.05")
SERVERS = ("1.0.0", "1.2.0", "1.3.1", "1.4.1", "1.4.4", "1.5.4")


class Run(NamedTuple):
    """A pair of versions that a test has run, and the number of its rows at cc-backend.

    `how`: jobs from start to end with a `stand-in` or `real` Slurm, or drift repaired by a `sweep`.
    """

    series: str
    server: str
    how: str
    rows: int


def note(run: Run) -> None:
    """Record a pair that passed its test, if COMPATIBILITY_RESULTS is set."""
    path = os.environ.get(VARIABLE)
    if path:
        with Path(path).open("a") as results:
            results.write(json.dumps(run._asdict()) + "\n")


def read(path: Path) -> list[Run]:
    """Return the recorded pairs."""
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()]


def table(runs: list[Run]) -> str:
    """Return the table in Markdown; the cell of a pair that was not run is empty."""
    servers = sorted({*SERVERS, *(run.server for run in runs)}, key=_number)
    lines = ["| Slurm | " + " | ".join(f"cc-backend {server}" for server in servers) + " |"]
    lines.append("|---" * (len(servers) + 1) + "|")
    for series in SERIES:
        cells = [_cell([r for r in runs if (r.series, r.server) == (series, s)]) for s in servers]
        lines.append(f"| {series} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(runs: list[Run]) -> str:
    return ", ".join(sorted({run.how for run in runs}))


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def put(text: str, runs: list[Run]) -> str:
    """Return a text with the table inserted between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the two marks are missing: {BEGIN}{END}")
    return f"{before}{BEGIN}{table(runs)}{END}{after}"


def main(results: str, page: str) -> None:
    """Write the table of recorded results to a page."""
    path = Path(page)
    path.write_text(put(path.read_text(), read(Path(results))))


if __name__ == "__main__":
    main(*sys.argv[1:])
