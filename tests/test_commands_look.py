"""`cc-spool status`, `list` and `show`: what lies in the spool, why, and what to do."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, REFUSED, TOKEN, CommandSite, run_of
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.commands import list as list_command
from spool.commands.drain_view import DrainView
from spool.commands.entries import job_id_of, wait_reason
from spool.commands.status import BOUNDS_MINUTES, histogram
from spool.deliver.settlement import UNPROVEN
from spool.files.drain_state import (
    DrainState,
    DrainStateFile,
    HealthReport,
    HealthState,
    UnreadableFile,
    WaitingCause,
)
from spool.files.inventory import RunFile
from spool.files.layout import Directory, Layout
from spool.files.lock import LockState, take_lock
from spool.files.run import End, EndSource, LastError, Run
from spool.formatting import format_time

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
EVENT = "1-start-7-0-0-77"
HALTED = {"health": "halted", "since": NOON, "reason": "401: bad token", "next_probe": NOON + 300}
DOWN = {"health": "down", "since": NOON, "reason": "refused", "next_probe": NOON + 60}
RUNNING = DrainView(lock=LockState.HELD)
N1 = WaitingCause(cause="host n1 is unknown to cc-backend", count=3, since=NOON)


def running(state: HealthState = HealthState.UP, reason: str = "", **more: Any) -> DrainView:
    """Return the view of a drain that runs, with cc-backend in some health."""
    health = HealthReport(state=state, since=NOON, reason=reason)
    return DrainView(lock=LockState.HELD, state=DrainState(health=health, **more))


def say(site: CommandSite, **fields: Any) -> None:
    """Write what a healthy drain says of itself, and more."""
    health = HealthReport(state=HealthState.UP, since=NOON)
    state = DrainState(**{"pid": os.getpid(), "started": NOON, "health": health, **fields})
    DrainStateFile(site.state / "drain.json").write(state, time.time())


HOSTILE = "\x1b[31m\n\r\u202e"


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def drained(site: CommandSite) -> Iterator[CommandSite]:
    """Return a site on which a drain holds the lock."""
    site.beacon(destination={"health": "up"}, server={"version": "1.5.4", "dialect": "shared"})
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    yield site
    lock.release()


def filled(site: CommandSite) -> CommandSite:
    """Put something into every directory."""
    site.put_event(EVENT, time=time.time() - 400)
    site.put(Directory.TODO, run_of(5))
    site.put(Directory.OPEN, run_of(6, started=int(time.time())))
    site.put(Directory.OPEN, run_of(8, reported=False, reason="opted out"))
    site.put(Directory.DEAD, run_of(9, last_error=REFUSED))
    site.bury("odd")
    (site.spool / "tmp" / "draft").touch()
    return site


def test_status_counts_what_lies_there(site: CommandSite) -> None:
    """In every directory; of dead letters the reasons are none."""
    status = filled(site).call("status", "--json").json

    assert {"new": 1, "todo": 1, "open": 2, "dead": 2, "tmp": 1} == status["counts"]


def test_status_tells_ages(site: CommandSite) -> None:
    """The oldest, and how many are how old."""
    status = filled(site).call("status", "--json").json

    assert NOON == status["oldest"]["todo"]
    assert {"10": 1} == {bound: n for bound, n in status["ages"]["new"].items() if n}
    assert {"older": 1} == {bound: n for bound, n in status["ages"]["todo"].items() if n}


def test_status_of_an_empty_spool(site: CommandSite) -> None:
    """Nothing is old, nothing is known."""
    status = site.call("status", "--json").json

    assert {"new": 0, "todo": 0, "open": 0, "dead": 0, "tmp": 0} == status["counts"]
    assert {"new": None, "todo": None, "open": None, "dead": None} == status["oldest"]
    assert {"state": "free", "pid": None} == status["lock"]
    assert [None] * 6 == [
        status[key]
        for key in ("halted", "down", "next_attempt", "server", "slurm_silent_since", "sweep")
    ]


@pytest.mark.parametrize(
    ("age_minutes", "bound"), [(0, "5"), (4.99, "5"), (5, "10"), (1279, "1280"), (1280, "older")]
)
def test_an_age_counts_below_the_next_bound(age_minutes: float, bound: str) -> None:
    """Bounds are 5, 10, 20 ... 1280 minutes."""
    found = histogram([age_minutes * 60])

    assert [*map(str, BOUNDS_MINUTES), "older"] == list(found)
    assert {bound: 1} == {key: number for key, number in found.items() if number}


def test_status_names_the_holder_of_the_lock(drained: CommandSite) -> None:
    """And the server it speaks to."""
    status = drained.call("status", "--json").json

    assert {"state": "held", "pid": os.getpid()} == status["lock"]
    assert {"version": "1.5.4", "dialect": "shared"} == status["server"]
    said = drained.call("status").out
    assert f"drain of unknown version is running (process {os.getpid()}, state updated" in said


def test_looking_at_the_lock_does_not_take_it(site: CommandSite) -> None:
    """A drain may start while somebody looks."""
    site.call("status")
    take_lock(site.state / "drain.lock", site.state / "drain.json").release()

    assert "free" == site.call("status", "--json").json["lock"]["state"]


@pytest.mark.parametrize(
    ("destination", "key", "words"),
    [(HALTED, "halted", "HALTED since"), (DOWN, "down", "cc-backend does not answer since")],
)
def test_status_tells_what_stands_in_the_way(
    drained: CommandSite, destination: dict[str, Any], key: str, words: str
) -> None:
    """Since when, why, and when it is tried again."""
    drained.beacon(destination=destination)
    status = drained.call("status", "--json").json

    assert {"since": NOON, "reason": destination["reason"]} == status[key]
    assert destination["next_probe"] == status["next_attempt"]
    assert words in drained.call("status").out


def test_status_tells_when_the_next_run_is_due(drained: CommandSite) -> None:
    """Of those that wait for a time of their own."""
    say(drained, next_attempt=NOON + 900.0)

    assert NOON + 900 == drained.call("status", "--json").json["next_attempt"]
    assert f"next attempt {format_time(NOON + 900)}" in drained.call("status").out


TROUBLE: list[tuple[dict[str, Any], str]] = [
    ({"slurm_silent_since": NOON}, f"Slurm has not answered since {format_time(NOON)}\n"),
    ({"slurm_silent_since": NOON, "slurm_reason": "no route"}, ": no route\n"),
    ({"accounting_silent_since": NOON}, "Slurm's accounting has not answered since"),
    ({"disk_full": True}, "the spool cannot be written\n"),
    ({"disk_full": True, "disk_reason": "No space"}, "the spool cannot be written: No space\n"),
    (
        {"waiting": (N1,)},
        f"waiting: host n1 is unknown to cc-backend: 3 runs since {format_time(NOON)}",
    ),
    ({"warnings": ("squeue: a line",)}, "warning: squeue: a line\n"),
    ({"polling_reason": "EMFILE"}, "inotify cannot be used (EMFILE): new/ is polled"),
    ({"unreported": 1}, "1 run deliberately not reported"),
    (
        {"due_since": NOON},
        f"nothing has been delivered since {format_time(NOON)}, although runs are due\n",
    ),
    ({"last_delivery": NOON, "deliveries_last_hour": 7}, f"last delivery {format_time(NOON)} ("),
    ({"last_delivery": NOON, "deliveries_last_hour": 7}, " ago), 7 in the last hour\n"),
    (
        {
            "unreadable_count": 1,
            "unreadable": (UnreadableFile(name="todo/5-9.json", reason="EIO"),),
        },
        "1 file cannot be read now:\n  todo/5-9.json: EIO\n",
    ),
    (
        {"stops": HealthReport(state=HealthState.DOWN, since=NOON, reason="timed out")},
        f"cc-backend does not answer to stops since {format_time(NOON)}: timed out\n",
    ),
]


@pytest.mark.parametrize(("fields", "words"), TROUBLE)
def test_status_tells_every_trouble(
    drained: CommandSite, fields: dict[str, Any], words: str
) -> None:
    """A line each, with since when and why."""
    say(drained, **fields)

    assert words in drained.call("status").out


def test_status_as_json_has_all_that_the_drain_says(drained: CommandSite) -> None:
    """A script need not read the lines."""
    say(drained, waiting=(N1,), unreadable_count=2, last_delivery=7.0, due_since=5.0)
    status = drained.call("status", "--json").json

    assert [{"cause": N1.cause, "count": 3, "since": NOON}] == status["waiting"]
    assert (2, 7, 5, 1) == (
        status["unreadable"],
        status["last_delivery"],
        status["due_since"],
        status["unknown_hosts"],
    )


def test_status_begins_with_both_sides_and_the_last_delivery(drained: CommandSite) -> None:
    """Their versions, and that of the drain."""
    seen = {"server_version": "1.5.4", "server_dialect": "shared", "slurm_release": "24.11.5"}
    say(drained, **seen, version="0.2.0", last_delivery=NOON, deliveries_last_hour=7)
    server, cluster, delivery, drain = drained.call("status").out.splitlines()[:4]
    status = drained.call("status", "--json").json

    assert f"cc-backend {status['server_url']}, version 1.5.4 (shared)" == server
    assert "cluster lab, Slurm 24.11.5" == cluster
    assert delivery.startswith(f"last delivery {format_time(NOON)} (")
    assert delivery.endswith(" ago), 7 in the last hour")
    assert drain.startswith("drain 0.2.0 is running (process ")
    assert "lab" == status["cluster"]


def test_status_without_a_state_says_what_is_not_known(site: CommandSite) -> None:
    """Before the drain has run; of one that has ended the count of an hour is old."""
    server, cluster, delivery = site.call("status").out.splitlines()[:3]
    site.beacon(last_delivery=NOON, deliveries_last_hour=7)
    old = site.call("status").out

    assert server.endswith(", version unknown")
    assert "cluster lab, Slurm release unknown" == cluster
    assert "no delivery yet" == delivery
    assert f"last delivery {format_time(NOON)} (" in old
    assert "in the last hour" not in old


@pytest.mark.parametrize(("is_terminal", "count"), [(True, 1), (False, 0)])
def test_a_verdict_has_a_colour_on_a_terminal(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, count: int, *, is_terminal: bool
) -> None:
    """Nowhere else, so that no script has to remove it."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    said = site.call("status", terminal=is_terminal)

    assert count == said.out.count("\x1b[31mno drain is running\x1b[0m")
    assert 2 * count == said.out.count("\x1b[")


def test_status_counts_the_files_being_written(drained: CommandSite) -> None:
    """In tmp, which is nobody's business otherwise."""
    assert "1 file being written in tmp" in filled(drained).call("status").out


def test_status_opens_no_file_of_the_spool(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and times are enough, however many there are."""
    filled(site)
    monkeypatch.setattr(Layout, "read", None)

    assert 0 == site.call("status").code


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"pid": "x", "updated": "now", "destination": 5, "server": [], "unknown_hosts": null}',
        '{"pid": true, "updated": NaN, "destination": {"health": 1, "since": 1e999}}',
        '{"updated": 1e300, "destination": {"health": "down", "since": -1e300}}',
    ],
)
def test_status_survives_a_damaged_state_file(drained: CommandSite, text: str) -> None:
    """What is not as expected is not known."""
    (drained.state / "drain.json").write_text(text)
    (drained.state / "sweep.json").write_text(text)

    assert 0 == drained.call("status").code
    assert 0 == drained.call("status", "--json").code


def test_status_without_a_drain_says_so(site: CommandSite) -> None:
    """And when one was last seen."""
    never = site.call("status").out
    site.beacon()
    once = site.call("status").out

    assert "no drain is running" == never.splitlines()[3]
    assert f"\nno drain is running; last seen {format_time(NOON)}" in once


def test_a_lock_that_cannot_be_looked_at_is_not_known(site: CommandSite) -> None:
    """Such as a link that somebody put there."""
    (site.state / "drain.lock").symlink_to("elsewhere")

    assert "\nthe drain's lock cannot be opened; run this as root" in site.call("status").out
    assert "unknown" == site.call("status", "--json").json["lock"]["state"]


def test_a_holder_that_does_not_tell_its_number(drained: CommandSite) -> None:
    """Its state file names a process that is gone."""
    (drained.state / "drain.json").write_text('{"pid": 99999999}')

    assert "a process of unknown id" in drained.call("status").out


def test_status_shows_when_the_token_expires(site: CommandSite) -> None:
    """In text and JSON, and never the token."""
    status = site.call("status", "--json")

    assert 1_900_000_000 == status.json["token"]["expires_at"]
    assert "expires in" in site.call("status").out
    assert TOKEN not in status.out


def test_status_tells_of_a_token_that_cannot_be_used(site: CommandSite) -> None:
    """It does not keep anybody from looking after the halt that this makes."""
    site.token.chmod(0o644)
    said = site.call("status")

    assert 0 == said.code
    assert "other users can read or change the token" in said.out
    assert "warning: cc-backend.token_file" in said.err


@pytest.mark.parametrize(
    ("claims", "words"),
    [("eyJleHAiOjF9", "expired "), ("e30", "does not expire")],  # {"exp":1}, {}
)
def test_status_of_other_tokens(site: CommandSite, claims: str, words: str) -> None:
    """Past its time, or without one; here it stands in the configuration."""
    del site.document["cc-backend"]["token_file"]
    site.document["cc-backend"]["apikey"] = f"eyJhbGciOiJFZERTQSJ9.{claims}.c2ln"
    site.write()

    assert f"token (configuration) {words}" in site.call("status").out


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        (
            {"started": NOON, "finished": NOON, "drift": {"start": 2, "stop": 0}},
            "ago; differences: start 2, stop 0",
        ),
        ({"started": NOON, "finished": None}, "last sweep did not finish; differences: unknown"),
        (
            {"started": NOON, "finished": NOON, "refused": True, "guards": ["too many stops"]},
            "differences: unknown; REFUSED: too many stops",
        ),
        ({"started": NOON, "finished": NOON, "refused": True}, "differences: unknown; REFUSED"),
        ({"started": NOON, "guards": 5}, "sweep.json is not valid"),
    ],
)
def test_status_tells_of_the_last_sweep(
    site: CommandSite, sweep: dict[str, Any], words: str
) -> None:
    """What it found, and whether it was refused."""
    (site.state / "sweep.json").write_text(json.dumps(sweep))

    assert words in site.call("status").out
    assert sweep == site.call("status", "--json").json["sweep"]


def test_list_tells_each_file_once(site: CommandSite) -> None:
    """In the order of a run's life."""
    found = filled(site).call("list", "--json").json

    assert [
        (EVENT, 7, "new", "start event"),
        (f"5-{NOON}.json", 5, "todo", "run"),
        (f"8-{NOON}.json", 8, "open", "run"),
        (f"6-{NOON}.json", 6, "open", "run"),
        (f"9-{NOON}.json", 9, "dead", "run"),
        ("odd", None, "dead", "file"),
    ] == [(each["id"], each["job_id"], each["state"], each["kind"]) for each in found]


def test_a_listed_run_has_its_attempts_and_last_error(site: CommandSite) -> None:
    """With the server's words."""
    site.put(Directory.DEAD, run_of(9, end=END, attempts=2, last_error=REFUSED))
    (found,) = site.call("list", "dead", "--json").json

    assert (2, NOON, END.time) == (found["attempts"], found["start"], found["end"])
    assert "no such subcluster" == found["last_error"]["message"]


@pytest.mark.parametrize(
    ("directory", "ids"),
    [
        ("new", [EVENT]),
        ("todo", [f"5-{NOON}.json"]),
        ("open", [f"8-{NOON}.json", f"6-{NOON}.json"]),
    ],
)
def test_list_of_one_directory(site: CommandSite, directory: str, ids: list[str]) -> None:
    """And of no other."""
    found = filled(site).call("list", directory, "--json").json

    assert ids == [each["id"] for each in found]


def test_list_as_text_has_a_line_each(site: CommandSite) -> None:
    """Below a head; of nothing not even that."""
    empty = site.call("list")
    said = filled(site).call("list")

    assert (0, "") == (empty.code, empty.out)
    assert ["in", "new", "todo", "open", "open", "dead", "dead"] == [
        line.split()[0] for line in said.out.splitlines()
    ]


def crowd(site: CommandSite) -> CommandSite:
    """Put five runs of two users into `todo/`, one second after the other."""
    for number in range(5):
        run = run_of(number + 1, NOON + number)
        job = replace(run.job, user=("anna", "bob")[number % 2])
        error = REFUSED if number == 4 else None
        site.put(Directory.TODO, replace(run, job=job, last_error=error, not_before=NOON * 2))
    return site


@pytest.mark.parametrize(
    ("arguments", "jobs", "rest"),
    [
        ([], [1, 2, 3, 4, 5], 0),
        (["--limit", "2"], [1, 2], 3),
        (["--limit", "5"], [1, 2, 3, 4, 5], 0),
        (["--limit", "0"], [1, 2, 3, 4, 5], 0),
        (["--user", "bob"], [2, 4], 0),
        (["--user", "bob", "--limit", "1"], [2], 3),
        (["--reason", "NO SUCH subcluster"], [5], 0),
        (["--user", "bob", "--reason", "no such"], [], 0),
        (["--older", "1000w"], [], 0),
        (["--older", "1s"], [1, 2, 3, 4, 5], 0),
    ],
)
def test_a_list_is_short_and_says_how_many_more_there_are(
    drained: CommandSite, arguments: list[str], jobs: list[int], rest: int
) -> None:
    """By user, age and reason."""
    said = crowd(drained).call("list", "--json", *arguments)
    words = f"{rest} more files not shown" if rest else ""

    assert jobs == [each["job_id"] for each in said.json]
    assert words in said.err
    assert bool(rest) == bool(said.err)


def test_list_opens_only_what_it_prints(site: CommandSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool of 100 000 runs is listed in a second."""
    opened: list[str] = []
    read = Layout.read

    def traced(layout: Layout, directory: Directory, name: str, limit_bytes: int) -> object:
        opened.append(name)
        return read(layout, directory, name, limit_bytes)

    monkeypatch.setattr(Layout, "read", traced)
    crowd(site).call("list", "--limit", "1")
    listed, opened[:] = list(opened), []
    site.call("show", "3")

    assert ([f"1-{NOON}.json"], [f"3-{NOON + 2}.json"]) == (listed, opened)


def test_a_file_that_vanishes_while_it_is_listed_is_left_out(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was delivered."""
    crowd(site)
    monkeypatch.setattr(list_command, "read_file", lambda *_: None)

    assert [] == site.call("list", "--json").json


@pytest.mark.parametrize(
    "arguments", [["--limit", "-1"], ["--limit", "x"], ["--limit", "9" * 30], ["--older", "soon"]]
)
def test_a_wrong_option_of_list_is_told(site: CommandSite, arguments: list[str]) -> None:
    """Exit 2."""
    assert 2 == site.call("list", *arguments).code


def test_an_event_says_whose_job_it_is(site: CommandSite) -> None:
    """If the hook knew it."""
    site.put_event(EVENT, "user=anna\nend\n")

    assert [7] == [each["job_id"] for each in site.call("list", "--json", "--user", "anna").json]


def test_an_unknown_directory_is_a_wrong_argument(site: CommandSite) -> None:
    """Tmp is nobody's business."""
    assert 2 == site.call("list", "tmp").code


DONE = run_of(started=NOON, end=END)
PARKED = run_of(not_before=NOON + 50)
PENDING: list[tuple[Run, DrainView, str]] = [
    (run_of(), DrainView(lock=LockState.FREE), "start is pending; no drain is running"),
    (run_of(), running(), "start is pending; it will be delivered next"),
    (
        run_of(last_error=REFUSED),
        running(),
        "start is pending; it will be delivered next; last error: bad",
    ),
    (
        run_of(),
        running(HealthState.HALTED, "401"),
        "start is pending; all deliveries are halted: 401",
    ),
    (
        run_of(),
        running(HealthState.DOWN, "timeout"),
        "start is pending; cc-backend does not answer: timeout",
    ),
    (run_of(replaces=(1,)), RUNNING, "replaced row, start is pending; it will be delivered next"),
    (DONE, RUNNING, "stop is pending; cc-backend may need some time before it accepts the stop"),
    (
        replace(PARKED, last_error=replace(REFUSED, message="")),
        RUNNING,
        f"start is pending; next attempt {format_time(NOON + 50)}; last error: bad request",
    ),
    (PARKED, RUNNING, f"start is pending; next attempt {format_time(NOON + 50)}"),
    (run_of(started=NOON), RUNNING, "nothing is pending; cc-backend may need some time"),
    (
        PARKED,
        running(waiting=(N1,)),
        f"start is pending; waits because {N1.cause}, since {format_time(NOON)}",
    ),
    (
        PARKED,
        running(waiting=(replace(N1, cause="host n11 is unknown"),)),
        "start is pending; next",
    ),
    (
        replace(PARKED, cluster="alex"),
        running(waiting=(replace(N1, cause="cluster alex is unknown", since=None),)),
        "start is pending; waits because cluster alex is unknown, since -",
    ),
    (DONE, running(waiting=(N1,)), "stop is pending; cc-backend may need some time"),
]


@pytest.mark.parametrize(("run", "view", "words"), PENDING)
def test_a_run_in_todo_says_why_it_waits(run: Run, view: DrainView, words: str) -> None:
    """What is to be delivered, and what it waits for."""
    file = RunFile(directory=Directory.TODO, name=run.name, time=NOON, run=run)

    assert wait_reason(file, view, NOON).startswith(words)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (run_of(started=NOON), "started; waits for the end of the job"),
        (run_of(reported=False, reason="opted out"), "not reported: opted out; kept until the job"),
        (run_of(reported=False), "not reported: no reason recorded; kept until the job"),
    ],
)
def test_a_run_in_open_says_why_it_waits(run: Run, words: str) -> None:
    """For the end of its job."""
    held = RunFile(directory=Directory.OPEN, name=run.name, time=NOON, run=run)

    assert wait_reason(held, RUNNING, NOON).startswith(words)


def test_an_event_says_why_it_waits(drained: CommandSite) -> None:
    """For Slurm, which is asked or does not answer."""
    drained.put_event(EVENT)
    asked = drained.call("list", "--json").json[0]["waits"]
    say(drained, slurm_silent_since=NOON)
    silent = drained.call("list", "--json").json[0]["waits"]
    say(drained, slurm_silent_since=NOON, slurm_reason="no route")
    reason = drained.call("list", "--json").json[0]["waits"]

    since = f"Slurm has not answered since {format_time(NOON)}"
    assert ["Slurm is being asked about the job", since, f"{since}: no route"] == [
        asked,
        silent,
        reason,
    ]


def test_a_retry_event_says_what_it_is_for(drained: CommandSite) -> None:
    """It is about one job or about all."""
    drained.put_event("1-retry-0-0-0-7")
    (found,) = drained.call("list", "--json").json

    assert (None, "the drain will deliver the pending runs at once") == (
        found["job_id"],
        found["waits"],
    )
    assert "retry of all runs" in drained.call("show", "1-retry-0-0-0-7").out


@pytest.mark.parametrize(
    ("name", "job_id"),
    [("5-100.json", 5), (EVENT, 7), ("2-start-7-0-0-1", None), ("odd", None)],
)
def test_a_file_belongs_to_the_job_in_its_name(name: str, job_id: int | None) -> None:
    """So that a job id finds it."""
    assert job_id == job_id_of(name)


def test_show_of_a_refused_run(site: CommandSite) -> None:
    """What it is, the server's words, the request, what to do."""
    run = site.put(Directory.DEAD, run_of(9, end=END, attempts=1, last_error=REFUSED))
    out = site.call("show", "9").out

    assert out.startswith(f"dead/{run.name}\n")
    assert "run of job 9, user anna, account physics, partition main" in out
    assert "rejected: bad request: no such subcluster" in out
    assert '  sent      {"jobId": 5}' in out
    assert out.endswith("  to do     correct cluster.json, then retry\n")


def test_show_leaves_an_account_out_that_slurm_does_not_have(site: CommandSite) -> None:
    """Without accounting no job has one."""
    run = run_of(9)
    site.put(Directory.OPEN, replace(run, job=replace(run.job, account=None)))

    assert "run of job 9, user anna, partition main" in site.call("show", "9").out


def test_show_as_json_has_facts_but_no_script(site: CommandSite) -> None:
    """Scripts can hold secrets; that there is one is said."""
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
def test_show_of_runs_with_less(
    site: CommandSite, error: LastError | None, request_: str | None
) -> None:
    """A run may be there without an error, a request, or a whole one."""
    site.put(Directory.DEAD, run_of(9, started=NOON, cluster="lab", last_error=error))
    (found,) = site.call("show", "9", "--json").json

    assert request_ == found["request"]
    assert f"start {format_time(NOON)} under cluster lab" in site.call("show", "9").out


def test_show_of_a_job_shows_all_its_files(site: CommandSite) -> None:
    """An event, and two runs, one of them damaged."""
    site.put_event("1-stop-5-100-200-7")
    site.put(Directory.OPEN, run_of(5, started=NOON))
    (site.spool / "open" / "5-100.json").write_text("{")
    out = site.call("show", "5").out

    assert ["new/1-stop-5-100-200-7", "open/5-100.json", f"open/5-{NOON}.json"] == sorted(
        line for line in out.splitlines() if line and not line.startswith(" ")
    )
    assert "stop event of job 5, start 1970-01-01 " in out
    assert "a file that is neither event nor run" in out


@pytest.mark.parametrize("wanted", ["99", "9" * 5000, "None", "", "\udcff"])
def test_show_of_nothing_is_a_wrong_argument(site: CommandSite, wanted: str) -> None:
    """There is nothing of that name."""
    site.put(Directory.OPEN, run_of(9))
    said = site.call("show", wanted)

    assert (2, "") == (said.code, said.out)
    assert "no file in the spool has this name or job id" in said.err


def test_a_file_named_like_a_number_is_found(site: CommandSite) -> None:
    """By its name."""
    site.bury("77")

    assert 0 == site.call("show", "77").code


HALT = HealthReport(state=HealthState.HALTED, since=NOON, reason="401")
NOTHING = "nothing; it is retried automatically"


@pytest.mark.parametrize(
    ("said", "run", "to_do"),
    [
        (
            {"health": HALT},
            run_of(5),
            "remove the cause of the halt; a new token or configuration is used at once",
        ),
        ({}, run_of(5), NOTHING),
        (
            {"waiting": (N1,)},
            run_of(5, not_before=NOON * 2),
            "remove the cause (host n1 is unknown to cc-backend), then wait, or type `cc-spool",
        ),
        ({"waiting": (N1,)}, replace(DONE, job=replace(DONE.job, job_id=5)), NOTHING),
        (
            {},
            run_of(5, not_before=NOON * 2, last_error=REFUSED),
            "correct cluster.json, then retry, then wait, or type `cc-spool retry ID`",
        ),
        ({}, run_of(5, last_error=replace(REFUSED, hint="")), NOTHING),
    ],
)
def test_show_says_what_to_do_about_a_pending_run(
    drained: CommandSite, said: dict[str, Any], run: Run, to_do: str
) -> None:
    """Depending on what stands in the way."""
    say(drained, **said)
    drained.put(Directory.TODO, run)

    assert drained.call("show", "5", "--json").json[0]["to_do"].startswith(to_do)


def test_a_hint_that_names_the_command_is_shown_alone(drained: CommandSite) -> None:
    """It is the same for a run that is still tried, and for a dead letter."""
    run = run_of(5, not_before=NOON * 2, last_error=replace(REFUSED, hint=UNPROVEN))
    drained.put(Directory.TODO, run)

    assert UNPROVEN == drained.call("show", "5", "--json").json[0]["to_do"]


def test_show_says_what_to_do_about_a_damaged_file(drained: CommandSite) -> None:
    """Nothing is set aside for a reason on our side."""
    (drained.spool / "todo" / "5-100.json").write_text("{")

    assert (
        "repair the file or its permissions" in drained.call("show", "5", "--json").json[0]["to_do"]
    )


def test_an_event_is_asked_about_again_by_itself(drained: CommandSite) -> None:
    """There is nothing to do."""
    drained.put_event(EVENT)

    assert NOTHING == drained.call("show", "7", "--json").json[0]["to_do"]


def test_show_says_what_to_do_about_others(site: CommandSite) -> None:
    """Start the drain, nothing, or look at the file."""
    filled(site)
    site.bury("1-start-3-0-0-1")
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


def test_dead_events_say_why(site: CommandSite) -> None:
    """If a reason lies beside them."""
    site.bury("1-start-3-0-0-1")
    (site.spool / "dead" / "1-start-4-0-0-1").touch()

    assert [
        "not a valid name of an event file",
        "unknown: its .why file is missing",
    ] == [site.call("show", name, "--json").json[0]["waits"] for name in ("3", "4")]


def test_a_dead_run_without_an_error_says_so(site: CommandSite) -> None:
    """Somebody put it there by hand."""
    site.put(Directory.DEAD, run_of(9))

    assert "rejected: no reason recorded" == site.call("list", "--json").json[0]["waits"]


@pytest.mark.parametrize("verb", [["list"], ["status"], ["show", "5"], ["list", "--json"]])
def test_foreign_text_is_escaped(site: CommandSite, verb: list[str]) -> None:
    """Of users, of the server, of file names, of state files."""
    error = replace(REFUSED, message=HOSTILE, hint=HOSTILE, request=HOSTILE, reason=HOSTILE)
    run = run_of(5, reason=HOSTILE, reported=False, last_error=error, cluster=HOSTILE)
    job = replace(run.job, user=HOSTILE, name=HOSTILE)
    site.put(Directory.TODO, replace(run, job=job))
    site.put(Directory.DEAD, replace(run, job=job, start_time=NOON + 1))
    (site.spool / "new" / f"1-start-5-{HOSTILE}").touch()
    site.beacon(destination=HALTED | {"reason": HOSTILE})
    (site.state / "sweep.json").write_text(json.dumps({"drift": {HOSTILE: HOSTILE}}))
    said = site.call(*verb)

    assert 0 == said.code
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert (said.out + said.err).isascii()


def test_a_strange_name_can_be_shown_as_it_is_listed(site: CommandSite) -> None:
    """The escaped name is an ID, too."""
    (site.spool / "new" / HOSTILE).touch()
    (listed,) = site.call("list", "--json").json

    assert 0 == site.call("show", listed["id"]).code


_KEYS = st.sampled_from(
    [
        *("pid", "updated", "destination", "server", "health", "since", "reason", "next_probe"),
        *("version", "dialect", "slurm_silent_since", "disk_full", "unknown_hosts"),
        *("name", "from", "time", "hint", "finished", "refused", "guards", "drift", "job"),
    ]
)
NAMES = st.one_of(
    st.sampled_from([EVENT, "5-100.json", "5-100.json.why", "odd.why", "9-1.json", "2-x"]),
    st.binary(min_size=1, max_size=30)
    .map(os.fsdecode)
    .filter(lambda name: "/" not in name and "\0" not in name and name not in {".", ".."}),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS | st.text(), inner),
    max_leaves=10,
)
CONTENTS = st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode())


@settings(max_examples=25, deadline=None)
@given(
    files=st.dictionaries(
        st.tuples(st.sampled_from(["new", "todo", "open", "dead"]), NAMES), CONTENTS, max_size=6
    ),
    states=st.fixed_dictionaries({}, optional={"drain.json": CONTENTS, "sweep.json": CONTENTS}),
)
def test_no_damage_keeps_anybody_from_looking(
    files: dict[tuple[str, str], bytes], states: dict[str, bytes]
) -> None:
    """Any names, any contents, in the spool and in the state directory."""
    with tempfile.TemporaryDirectory() as root:
        site = CommandSite(Path(root) / "site")
        for (directory, name), contents in files.items():
            (site.spool / directory / name).write_bytes(contents)
        for name, contents in states.items():
            (site.state / name).write_bytes(contents)
        said = [site.call(*words) for words in (["status"], ["list"], ["list", "--json"])]
        said += [site.call("show", "--", each["id"]) for each in said[-1].json]
        letters = {name for directory, name in files if not _is_reason(directory, name)}

    assert {0} == {each.code for each in said}
    assert all((each.out + each.err).replace("\n", "").isprintable() for each in said)
    assert len(letters) <= len(said) - 3


def _is_reason(directory: str, name: str) -> bool:
    return directory == "dead" and name.endswith(".why")
