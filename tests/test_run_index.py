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


def test_a_name_is_found_where_it_was_added() -> None:
    """Only the whole name matches."""
    found = index(r5_100=Directory.TODO, r6_200=Directory.OPEN)

    assert Directory.TODO is found.directory_of("5-100.json")
    assert Directory.OPEN is found.directory_of("6-200.json")
    assert (None, None) == (found.directory_of("5-101.json"), found.directory_of("strange"))


def test_an_invalid_run_name_is_not_added() -> None:
    """The caller must handle the file."""
    made = RunIndex()

    assert (False, 0) == (made.add("notes.txt", Directory.TODO), len(made))


def test_all_files_of_a_job_are_taken_together() -> None:
    """The order of a job's runs must be known before any is sent."""
    found = index(r5_100=Directory.OPEN, r5_300=Directory.TODO, r5_200=Directory.TODO)

    lane = found.take_lane(5)

    assert [
        (Directory.TODO, "5-300.json"),
        (Directory.TODO, "5-200.json"),
        (Directory.OPEN, "5-100.json"),
    ] == lane
    assert (0, []) == (len(found), found.take_lane(5))


def test_names_added_twice_count_once() -> None:
    """A directory may be listed again."""
    made = index(r5_100=Directory.TODO)
    made.add("5-100.json", Directory.TODO)

    assert (1, True) == (len(made), "5-100.json" in made)


def test_job_ids_are_in_the_order_of_addition() -> None:
    """At most the given number of job ids is returned."""
    found = index(r9_1=Directory.TODO, r5_1=Directory.TODO, r7_1=Directory.TODO)

    assert [9, 5] == found.job_ids(Directory.TODO, 2)
    assert (3, 0) == (found.count(Directory.TODO), found.count(Directory.OPEN))


def test_keys_are_returned_for_one_directory() -> None:
    """A key is a job id and a start time."""
    found = index(r5_100=Directory.OPEN, r5_200=Directory.OPEN, r6_1=Directory.TODO)

    assert [(5, 100), (5, 200)] == list(found.keys(Directory.OPEN))
