"""The table of Slurm's sources by release, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

from recorded_slurm import RELEASES, SERIES
from release_table import markdown

from slurm.release import RELEASE_TABLE, QueryMethod, Release, features_of


def test_the_release_table_covers_every_release() -> None:
    """Releases between two rows use the earlier row; unknown releases use the nearest row."""
    assert [
        QueryMethod.TEXT,
        QueryMethod.TEXT,
        QueryMethod.JSON_EACH,
        QueryMethod.JSON_EACH,
        QueryMethod.JSON_IDS,
        QueryMethod.JSON_IDS,
    ] == [features_of(RELEASES[series]).few_jobs for series in SERIES[:6]]
    assert QueryMethod.JSON_EACH is features_of(Release(24, 5, 0)).few_jobs
    assert RELEASE_TABLE[-1] == features_of(Release(30, 11))
    assert RELEASE_TABLE[0] == features_of(Release(20, 11))
    assert "--json=v0.0.44" == features_of(Release(26, 5, 5)).json_option


def test_query_method_is_described_with_its_json_option() -> None:
    """`check` names the commands or the pinned JSON version of a source."""
    row = features_of(Release(26, 5))

    assert "squeue's JSON with `-j IDS`, `--json=v0.0.44`" == row.describe(row.few_jobs)
    assert "scontrol show job ID -d" in row.describe(QueryMethod.TEXT)


def test_the_release_table_is_shown_as_markdown() -> None:
    """The Markdown has every row, and a list of the six sources that all releases share."""
    lines = markdown().splitlines()

    assert len(RELEASE_TABLE) + 2 == len([line for line in lines if line.startswith("|")])
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert 6 == len([line for line in lines if line.startswith("- ")])


def test_the_compatibility_page_has_the_release_table() -> None:
    """docs/compatibility.md contains the table that the code generates."""
    page = Path(__file__).parent.parent / "docs" / "compatibility.md"

    assert markdown() in page.read_text()
