"""The table of Slurm and cc-backend releases in docs/compatibility.md shows the tests' results."""

from __future__ import annotations

from pathlib import Path

import pytest
from compatibility import BEGIN, END, SERIES, SERVERS, VARIABLE, Run, note, put, read, table

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "data" / "compatibility.jsonl"


def test_the_page_shows_the_results_of_the_tests() -> None:
    """The table in docs/compatibility.md is what `make compatibility` makes from stored results."""
    page = (ROOT / "docs" / "compatibility.md").read_text()

    assert put(page, read(RESULTS)) == page


def test_every_pair_of_releases_was_tested() -> None:
    """No pair of a Slurm series and a cc-backend series is missing."""
    expected = {(series, server) for series in SERIES for server in SERVERS}

    assert expected <= {(run.series, run.server) for run in read(RESULTS)}


def test_a_cell_shows_how_the_pair_was_tested() -> None:
    """A cell contains stand-in, real or both; it is empty if nothing was run."""
    runs = [Run("22.05", "1.4.4", "real", 3), Run("22.05", "1.4.4", "stand-in", 9)]
    lines = table([*runs, Run("26.05", "1.5.4", "stand-in", 9)]).splitlines()

    assert "| 22.05 |  |  |  |  | real, stand-in |  |" == lines[3]
    assert "| 26.05 |  |  |  |  |  | stand-in |" == lines[-1]


def test_a_page_without_the_table_markers_is_refused() -> None:
    """The table is written only between its begin and end marker."""
    with pytest.raises(ValueError, match="marks are missing"):
        put("# a page\n", [])

    assert f"a{BEGIN}{table([])}{END}b" == put(f"a{BEGIN}old\n{END}b", [])


def test_a_result_is_added_to_the_file_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair that passed is appended if COMPATIBILITY_RESULTS names a file, else not."""
    path = tmp_path / "results"
    monkeypatch.delenv(VARIABLE, raising=False)
    note(Run("22.05", "1.4.4", "real", 3))
    monkeypatch.setenv(VARIABLE, str(path))
    note(Run("22.05", "1.5.4", "real", 3))

    assert [Run("22.05", "1.5.4", "real", 3)] == read(path)
