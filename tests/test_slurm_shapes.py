"""Every field of every decoder in every shape: read, or refused with the field's name."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from recorded_commands import commands, described, expected, ids_of
from recorded_slurm import SERIES, Situation, json_records, lookup_lines, node_of, sacct_lines

from slurm.decode.fields.reader import FieldError
from slurm.decode.job_rows import parse_job_list, parse_queue_snapshot
from slurm.decode.sacct_rows import SACCT_FIELDS, SACCT_SEPARATOR, parse_sacct_rows
from slurm.decode.squeue_columns import columns_for, parse_job_columns
from slurm.decode.squeue_json import parse_job, record_job_id
from slurm.errors import SlurmError
from slurm.process import CommandResult
from slurm.release import Release, features_of

NUMBERS = frozenset(
    {
        *("job_id", "user_id", "array_job_id", "array_task_id", "het_job_id", "het_job_offset"),
        *("submit_time", "start_time", "end_time", "time_limit", "cpus", "restart_cnt"),
        *("memory_per_node", "memory_per_cpu"),
    }
)
ODD: tuple[object, ...] = (
    *(None, True, False, 0, -5, 7, 1 << 70, 2.5, float("nan"), float("inf")),
    *("", "7", "odd", "2026-11-27T23:10:04", "n[1-", [], [7], ["odd"], [[]], [{}], [None]),
    *({}, {"set": True}, {"number": []}, {"set": False, "infinite": True, "number": {}}),
    *({"0": 1}, {"x": {}}, {"set": True, "infinite": False, "number": 7}),
)
WORDS = (
    *(
        "",
        "0",
        "-5",
        "7",
        "odd",
        "(null)",
        "N/A",
        "Unknown",
        "2026-11-27T23:10:04",
        "n[1-",
        "n[1-3]",
    ),
    *("1" * 40, "7.5", "\x00", "ü☃", "a b", "=", ",", "[", "RUNNING", "nobody", "gres/gpu=x"),
)


def records(series: str) -> list[dict[str, Any]]:
    """Return the JSON records of two running GPU jobs."""
    return json_records(Situation(series, "gpu-two-nodes").files["squeue.json"])


def paths(value: object, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every field in a JSON value; of a list only that of the first item."""
    for name, item in value.items() if isinstance(value, dict) else ():
        yield (*here, name)
        yield from paths(item, (*here, name))
    if isinstance(value, list) and value:
        yield (*here, 0)
        yield from paths(value[0], (*here, 0))


def changed(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """Return a JSON value that has another value at one path; the rest is shared."""
    if not path:
        return new
    found = copy.copy(value)
    found[path[0]] = changed(value[path[0]], path[1:], new)
    return found


def refusal(parse: Callable[[], object]) -> ValueError | SlurmError | None:
    """Return the error with which a parser refuses, or None; any other error ends the test."""
    try:
        parse()
    except (FieldError, SlurmError) as error:
        return error
    return None


@pytest.mark.parametrize("series", SERIES)
def test_json_fields_of_any_type_are_read_or_refused_by_name(series: str) -> None:
    """An odd value in any field of a record gives a job, or an error that names the field."""
    record = records(series)[1]
    for path in paths(record):
        for odd in ODD:
            document = changed(record, path, odd)
            error = refusal(partial(parse_job, document, node_of=node_of))
            if error is not None:
                assert isinstance(error, FieldError)
                assert path[0] == re.split(r"[.\[:]", str(error))[0]


@pytest.mark.parametrize("series", SERIES)
def test_a_json_number_is_read_in_every_form(series: str) -> None:
    """A number may be plain, text, a float, in {set, infinite, number}, or alone in a list."""
    record = records(series)[1]
    truth = parse_job(record, node_of=node_of)
    for name in NUMBERS & set(record):
        value = record[name]
        plain = value["number"] if isinstance(value, dict) and value.get("set") else value
        if not isinstance(plain, int):
            continue
        wrapped = {"set": True, "infinite": False, "number": plain}
        for shape in (plain, wrapped, [wrapped], str(plain), float(plain), [plain]):
            assert truth == parse_job(changed(record, (name,), shape), node_of=node_of)


@pytest.mark.parametrize("value", [4200900, {"set": True, "infinite": False, "number": 4200900}])
def test_a_job_id_in_json_is_read_plain_and_wrapped(value: object) -> None:
    """The id of a record is a number, or a mapping with set, infinite and number."""
    assert 4200900 == record_job_id({"job_id": value})


@pytest.mark.parametrize("value", [None, [], {}, "x", True, -1, [[7]], {"a": 1}])
def test_a_json_record_without_a_job_id_is_refused(value: object) -> None:
    """If `job_id` is not a valid id, the record could be of any requested job."""
    with pytest.raises(SlurmError, match="expected a job id such as 4711 from squeue, got"):
        record_job_id({"job_id": value})


@pytest.mark.parametrize("shape", [lambda i: {"set": True, "number": i}, str, lambda i: [i]])
def test_jobs_with_ids_in_other_json_forms_are_found(shape: Callable[[int], object]) -> None:
    """The client finds its jobs if JSON has their ids as text, as a mapping or in a list."""
    recorded = commands("24.11")
    ids = ids_of(recorded)
    document = json.loads(recorded.situation.files["squeue.json"])
    for record in document["jobs"]:
        record["job_id"] = shape(record["job_id"])
    raw = json.dumps(document).encode()
    recorded.answers["--json"] = CommandResult((), 0, raw, b"")
    found = recorded.slurm().jobs(ids)

    assert expected(recorded) == [described(found[job_id]) for job_id in ids]


def listed(line: bytes) -> bytes:
    """Return the line that the listing of all jobs has for a line of the look-up."""
    field = line.split(b"|")
    places = (0, 1, 2, 5, 7, 8, 6, 11, 15, 12, 14, 18)
    return b"|".join(field[place] for place in places)


def look_up(line: bytes) -> object:
    """Parse a line of `squeue -O`."""
    columns = columns_for(features_of(Release(22, 5)))
    return parse_job_columns(line + b"\n", columns, cluster="lab")


SOURCE = Situation("22.05", "gpu-two-nodes")
COLUMN_LINE = lookup_lines(SOURCE, "").splitlines()[0]
SACCT_LINE = sacct_lines(SOURCE.files["sacct.txt"]).splitlines()[0]
LINES: dict[str, tuple[Callable[[bytes], object], bytes, bytes]] = {
    "squeue -O": (look_up, COLUMN_LINE, b"|"),
    "squeue -o": (lambda line: parse_job_list(line + b"\n"), listed(COLUMN_LINE), b"|"),
    "snapshot": (lambda line: parse_queue_snapshot(line + b"\n"), listed(COLUMN_LINE), b"|"),
    "sacct": (lambda line: parse_sacct_rows(line + b"\n"), SACCT_LINE, SACCT_SEPARATOR.encode()),
}


@pytest.mark.parametrize("name", LINES)
def test_every_word_in_every_column_is_read_or_refused(name: str) -> None:
    """A line of squeue or sacct with an odd word gives a value, or an error that shows it."""
    parse, line, separator = LINES[name]
    fields = line.split(separator)
    for place in range(len(fields)):
        for word in WORDS:
            odd = separator.join([*fields[:place], word.encode(), *fields[place + 1 :]])
            error = refusal(partial(parse, odd))
            assert error is None or ":" in str(error)


def test_the_recorded_sacct_row_has_every_field() -> None:
    """The row in which these tests change words has all fields that the program requests."""
    assert SACCT_FIELDS.count(",") == SACCT_LINE.count(SACCT_SEPARATOR.encode())
