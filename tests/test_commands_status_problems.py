"""`cc-spool status` on halts, waiting runs, the token and the last sweep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, TOKEN, CommandSite
from command_views import HALTED, N1, say

from spool.files.drain_state import HealthReport, HealthState, UnreadableFile
from spool.files.lock import take_lock
from spool.formatting import format_time

DOWN = {"health": "down", "since": NOON, "reason": "refused", "next_probe": NOON + 60}


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


@pytest.mark.parametrize(
    ("destination", "key", "words"),
    [(HALTED, "halted", "HALTED since"), (DOWN, "down", "cc-backend has given no answer since")],
)
def test_status_shows_why_deliveries_stopped(
    drained: CommandSite, destination: dict[str, Any], key: str, words: str
) -> None:
    """`status` shows since when, why, and when the next attempt is."""
    drained.write_drain_state(destination=destination)
    status = drained.call("status", "--json").json

    assert {"since": NOON, "reason": destination["reason"]} == status[key]
    assert destination["next_probe"] == status["next_attempt"]
    assert words in drained.call("status").out


def test_status_shows_when_the_next_run_is_due(drained: CommandSite) -> None:
    """The time of the next attempt in drain.json is shown as text and in JSON."""
    say(drained, next_attempt=NOON + 900.0)

    assert NOON + 900 == drained.call("status", "--json").json["next_attempt"]
    assert f"next attempt {format_time(NOON + 900)}" in drained.call("status").out


TROUBLE: list[tuple[dict[str, Any], str]] = [
    ({"slurm_silent_since": NOON}, f"Slurm has not answered since {format_time(NOON)}\n"),
    ({"slurm_silent_since": NOON, "slurm_reason": "no route"}, ": no route\n"),
    ({"accounting_silent_since": NOON}, "Slurm's accounting has not answered since"),
    ({"disk_full": True}, "the drain cannot write to the spool\n"),
    (
        {"disk_full": True, "disk_reason": "No space"},
        "the drain cannot write to the spool: No space\n",
    ),
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
    ({"last_delivery": NOON, "deliveries_last_hour": 7}, " ago); deliveries: 7 in the last hour\n"),
    (
        {
            "unreadable_count": 1,
            "unreadable": (UnreadableFile(name="todo/5-9.json", reason="EIO"),),
        },
        "1 file in the spool cannot be read:\n  todo/5-9.json: EIO\n",
    ),
    (
        {"stops": HealthReport(state=HealthState.DOWN, since=NOON, reason="timed out")},
        f"cc-backend has given no answer to stops since {format_time(NOON)}: timed out\n",
    ),
]


@pytest.mark.parametrize(("fields", "words"), TROUBLE)
def test_status_shows_every_problem(
    drained: CommandSite, fields: dict[str, Any], words: str
) -> None:
    """Each problem is a line, such as `Slurm has not answered since TIME`."""
    say(drained, **fields)

    assert words in drained.call("status").out


def test_status_as_json_has_the_drains_state(drained: CommandSite) -> None:
    """Scripts need not parse the text to get waiting runs or unreadable files."""
    say(drained, waiting=(N1,), unreadable_count=2, last_delivery=7.0, due_since=5.0)
    status = drained.call("status", "--json").json

    assert [{"cause": N1.cause, "count": 3, "since": NOON}] == status["waiting"]
    assert (2, 7, 5, 1) == (
        status["unreadable"],
        status["last_delivery"],
        status["due_since"],
        status["unknown_hosts"],
    )


def test_status_shows_when_the_token_expires(site: CommandSite) -> None:
    """The time is in the text and in JSON; the token is in neither."""
    status = site.call("status", "--json")

    assert 1_900_000_000 == status.json["token"]["expires_at"]
    assert "expires in" in site.call("status").out
    assert TOKEN not in status.out


def test_status_reports_an_unusable_token(site: CommandSite) -> None:
    """`status` still exits with 0, because an administrator needs it during the halt."""
    site.token.chmod(0o644)
    said = site.call("status")

    assert 0 == said.code
    assert "other users can read or change the token" in said.out
    assert "warning: cc-backend.token_file" in said.err


@pytest.mark.parametrize(
    ("claims", "words"),
    [("eyJleHAiOjF9", "expired "), ("e30", "does not expire")],  # {"exp":1}, {}
)
def test_status_says_if_the_token_has_expired_or_never_expires(
    site: CommandSite, claims: str, words: str
) -> None:
    """Both tokens of the test are in the configuration file, not in a token file."""
    del site.document["cc-backend"]["token_file"]
    site.document["cc-backend"]["apikey"] = f"eyJhbGciOiJFZERTQSJ9.{claims}.c2ln"
    site.write()

    assert f"token (configuration) {words}" in site.call("status").out


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        (
            {"started": NOON, "finished": NOON, "drift": {"start": 2, "stop": 0}},
            "ago: 2 missing starts",
        ),
        ({"started": NOON, "finished": None}, "last sweep did not finish: differences unknown"),
        (
            {"started": NOON, "finished": NOON, "refused": True, "guards": ["too many stops"]},
            "differences unknown; REFUSED: too many stops",
        ),
        ({"started": NOON, "finished": NOON, "refused": True}, "differences unknown; REFUSED"),
        ({"started": NOON, "guards": 5}, "sweep.json is not valid"),
    ],
)
def test_status_shows_the_last_sweep(site: CommandSite, sweep: dict[str, Any], words: str) -> None:
    """`status` shows the differences, and whether the sweep refused to act."""
    (site.state / "sweep.json").write_text(json.dumps(sweep))

    assert words in site.call("status").out
    assert sweep == site.call("status", "--json").json["sweep"]
