"""Names of run files that are known and not loaded."""

from __future__ import annotations

from spool.deliver.run_index import RunIndex
from spool.files.layout import Directory


def index(**files: Directory) -> RunIndex:
    """Return an index of files, `_` standing for the dash."""
    made = RunIndex()
    for name, directory in files.items():
        made.add(name.strip("r").replace("_", "-") + ".json", directory)
    return made


def test_the_directory_of_a_run_file_is_found() -> None:
    """The index has no directory for a name that was not added or is invalid."""
    found = index(r5_100=Directory.TODO, r6_200=Directory.OPEN)

    assert Directory.TODO is found.directory_of("5-100.json")
    assert Directory.OPEN is found.directory_of("6-200.json")
    assert (None, None) == (found.directory_of("5-101.json"), found.directory_of("strange"))


def test_an_invalid_run_name_is_not_added() -> None:
    """`add` returns False for a file such as `notes.txt`, which the caller must handle."""
    made = RunIndex()

    assert (False, 0) == (made.add("notes.txt", Directory.TODO), len(made))


def test_all_run_files_of_a_job_are_taken_together() -> None:
    """The order of a job's runs must be known before any is sent."""
    found = index(r5_100=Directory.OPEN, r5_300=Directory.TODO, r5_200=Directory.TODO)

    lane = found.take_lane(5)

    assert [
        (Directory.TODO, "5-300.json"),
        (Directory.TODO, "5-200.json"),
        (Directory.OPEN, "5-100.json"),
    ] == lane
    assert (0, []) == (len(found), found.take_lane(5))


def test_a_run_file_added_twice_counts_once() -> None:
    """A directory may be read again, with the same file names."""
    made = index(r5_100=Directory.TODO)
    made.add("5-100.json", Directory.TODO)

    assert (1, True) == (len(made), "5-100.json" in made)


def test_job_ids_are_in_the_order_of_addition() -> None:
    """The index returns at most the given number of job ids of a directory."""
    found = index(r9_1=Directory.TODO, r5_1=Directory.TODO, r7_1=Directory.TODO)

    assert [9, 5] == found.job_ids(Directory.TODO, 2)
    assert (3, 0) == (found.count(Directory.TODO), found.count(Directory.OPEN))


def test_the_keys_of_one_directory_are_returned() -> None:
    """A key is the job id and the start time of a run file."""
    found = index(r5_100=Directory.OPEN, r5_200=Directory.OPEN, r6_1=Directory.TODO)

    assert [(5, 100), (5, 200)] == list(found.keys(Directory.OPEN))
