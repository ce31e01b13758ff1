"""`cc-spool show`: the contents of a job's files, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from command_views import DONE, END, EVENT, N1, filled, say

from spool.deliver.settlement import UNPROVEN
from spool.files.drain_state import HealthReport, HealthState
from spool.files.layout import Directory
from spool.files.lock import take_lock
from spool.files.run import LastError, Run
from spool.formatting import format_time


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def drained(site: CommandSite) -> Iterator[CommandSite]:
    """Return a site on which a drain holds the lock."""
    site.write_drain_state(
        destination={"health": "up"}, server={"version": "1.5.4", "dialect": "shared"}
    )
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    yield site
    lock.release()


def test_show_explains_a_refused_run(site: CommandSite) -> None:
    """`show` prints the run, the server's message, the request and what to do."""
    run = site.put(Directory.DEAD, run_of(9, end=END, attempts=1, last_error=REFUSED))
    out = site.call("show", "9").out

    assert out.startswith(f"dead/{run.name}\n")
    assert "run of job 9, user anna, account physics, partition main" in out
    assert "rejected: bad request: no such subcluster" in out
    assert "  delivered nothing; 1 attempt of the next request\n" in out
    assert '  sent      {"jobId": 5}' in out
    assert out.endswith("  to do     correct cluster.json, then retry\n")


def test_show_omits_a_missing_account(site: CommandSite) -> None:
    """Without accounting no job has an account, so the line ends with the partition."""
    run = run_of(9)
    site.put(Directory.OPEN, replace(run, job=replace(run.job, account=None)))

    assert "run of job 9, user anna, partition main" in site.call("show", "9").out


def test_show_as_json_has_facts_but_no_script(site: CommandSite) -> None:
    """Scripts can contain secrets; the output only says that the run has one."""
    site.put(Directory.DEAD, run_of(9, script="#!/bin/sh\nsecret", last_error=REFUSED))
    said = site.call("show", "9", "--json")
    (found,) = said.json

    assert (["script"], {"jobId": 5}, "anna") == (
        found["holds"],
        found["request"],
        found["facts"]["user"],
    )
    assert "secret" not in said.out


@pytest.mark.parametrize(
    ("error", "request_"),
    [
        (None, None),
        (replace(REFUSED, request=None, hint=""), None),
        (replace(REFUSED, request="{cut"), "{cut"),
    ],
)
def test_show_accepts_runs_with_missing_data(
    site: CommandSite, error: LastError | None, request_: str | None
) -> None:
    """A run may have no error, no request or a request that was cut."""
    site.put(Directory.DEAD, run_of(9, started=NOON, cluster="lab", last_error=error))
    (found,) = site.call("show", "9", "--json").json

    assert request_ == found["request"]
    assert f"start {format_time(NOON)} under cluster lab" in site.call("show", "9").out


def test_show_of_a_job_shows_all_its_files(site: CommandSite) -> None:
    """The job has an event and two runs, one of them damaged."""
    site.put_event("1-stop-5-100-200-7")
    site.put(Directory.OPEN, run_of(5, started=NOON))
    (site.spool / "open" / "5-100.json").write_text("{")
    out = site.call("show", "5").out

    assert ["new/1-stop-5-100-200-7", "open/5-100.json", f"open/5-{NOON}.json"] == sorted(
        line for line in out.splitlines() if line and not line.startswith(" ")
    )
    assert "stop event of job 5, start 1970-01-01 " in out
    assert "a file that is neither an event nor a run" in out


@pytest.mark.parametrize("wanted", ["99", "9" * 5000, "None", "", "\udcff"])
def test_show_of_an_unknown_id_is_a_wrong_argument(site: CommandSite, wanted: str) -> None:
    """No file has this name or job id."""
    site.put(Directory.OPEN, run_of(9))
    said = site.call("show", wanted)

    assert (2, "") == (said.code, said.out)
    assert "no file in the spool has this name or job id" in said.err


def test_a_file_named_like_a_number_is_found(site: CommandSite) -> None:
    """`show 77` compares 77 with file names, not only with job ids."""
    site.add_dead_letter("77")

    assert 0 == site.call("show", "77").code


HALT = HealthReport(state=HealthState.HALTED, since=NOON, reason="401")
NOTHING = "nothing; it is retried automatically"


@pytest.mark.parametrize(
    ("said", "run", "to_do"),
    [
        (
            {"health": HALT},
            run_of(5),
            (
                "correct what the reason names; deliveries then resume within a minute,"
                " or at once after a change of token or configuration"
            ),
        ),
        ({}, run_of(5), NOTHING),
        (
            {"waiting": (N1,)},
            run_of(5, not_before=NOON * 2),
            "remove the cause (host n1 is unknown to cc-backend), then wait for the next attempt,",
        ),
        ({"waiting": (N1,)}, replace(DONE, job=replace(DONE.job, job_id=5)), NOTHING),
        (
            {},
            run_of(5, not_before=NOON * 2, last_error=REFUSED),
            "correct cluster.json, then retry, then wait for the next attempt, or type",
        ),
        ({}, run_of(5, last_error=replace(REFUSED, hint="")), NOTHING),
    ],
)
def test_show_says_what_to_do_about_a_pending_run(
    drained: CommandSite, said: dict[str, Any], run: Run, to_do: str
) -> None:
    """The text depends on what the run waits for."""
    say(drained, **said)
    drained.put(Directory.TODO, run)

    assert drained.call("show", "5", "--json").json[0]["to_do"].startswith(to_do)


def test_a_hint_that_contains_the_next_command_is_shown_unchanged(drained: CommandSite) -> None:
    """If the hint of a run names `cc-spool retry`, `show` does not add this command again."""
    run = run_of(5, not_before=NOON * 2, last_error=replace(REFUSED, hint=UNPROVEN))
    drained.put(Directory.TODO, run)

    assert UNPROVEN == drained.call("show", "5", "--json").json[0]["to_do"]


def test_show_says_what_to_do_about_a_damaged_file(drained: CommandSite) -> None:
    """A damaged file stays in todo/ until an administrator corrects it."""
    (drained.spool / "todo" / "5-100.json").write_text("{")

    assert (
        "correct this; the drain then reads the file"
        in drained.call("show", "5", "--json").json[0]["to_do"]
    )


def test_show_says_that_an_event_is_retried_automatically(drained: CommandSite) -> None:
    """An administrator has nothing to do."""
    drained.put_event(EVENT)

    assert NOTHING == drained.call("show", "7", "--json").json[0]["to_do"]


def test_show_says_what_to_do_about_other_files(site: CommandSite) -> None:
    """Files: a pending run without a drain, a running job, dead files with and without .why."""
    filled(site)
    site.add_dead_letter("1-start-3-0-0-1")
    (site.spool / "dead" / "1-start-4-0-0-1").touch()
    (site.spool / "dead" / "lone").touch()
    to_do = {
        name: site.call("show", name, "--json").json[0]["to_do"]
        for name in ("5", "6", "odd", "3", "4", "lone")
    }

    assert ["start the drain: `systemctl start cc-spool`", "nothing"] == [to_do["5"], to_do["6"]]
    assert ["look at the file"] * 2 == [to_do["odd"], to_do["3"]]
    assert to_do["4"] == to_do["lone"]
    assert to_do["lone"].startswith("repair the file")


def test_a_dead_event_has_its_reason(site: CommandSite) -> None:
    """The reason is in a .why file next to the event."""
    site.add_dead_letter("1-start-3-0-0-1")
    (site.spool / "dead" / "1-start-4-0-0-1").touch()

    assert [
        "not a valid name of an event file",
        "reason unknown: its .why file is missing",
    ] == [site.call("show", name, "--json").json[0]["waits"] for name in ("3", "4")]


def test_a_dead_run_without_an_error_has_no_recorded_reason(site: CommandSite) -> None:
    """An administrator may have moved the run to dead/ by hand."""
    site.put(Directory.DEAD, run_of(9))

    assert "rejected: no reason recorded" == site.call("list", "--json").json[0]["waits"]
