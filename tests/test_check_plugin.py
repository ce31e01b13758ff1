"""`cc-spool check` as a monitoring plugin: its line, exit code, limits and loaded libraries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from check_command_site import drain_lock, verdicts, working_site
from command_site import CommandSite


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site whose drain works."""
    return working_site(tmp_path)


@pytest.fixture
def drain(site: CommandSite) -> Iterator[None]:
    """Hold the drain's lock."""
    with drain_lock(site):
        yield


@pytest.mark.usefixtures("drain")
def test_a_healthy_site_gives_one_summary_line_with_figures(site: CommandSite) -> None:
    """The exit code is 0; further lines show the result of each check."""
    said = site.call("check")
    first, *rest = said.out.splitlines()
    text = (
        "CC_SLURM_SYNC OK - runs: 0 pending; cc-backend: version 1.5.4 (API field for node sharing:"
        " 'shared')"
    )
    text += "; deliveries: 0 since the drain was started "
    assert re.match(re.escape(text) + r"1m \d\ds ago \| ", first)
    assert "'events'=0;;;0; 'events_age'=0s;900;3600;0;" in first
    assert "[OK] dead letters: none" in rest
    assert (0, "") == (said.code, said.err)


@pytest.mark.usefixtures("drain")
def test_limits_are_options(site: CommandSite) -> None:
    """`-w`, `--critical` and `--sweep-age` set the limits; `-c` is the configuration file."""
    site.put_event("1-start-5-0-0-1", time=time.time() - 50)
    (site.state / "sweep.json").write_text(json.dumps({"started": time.time()}))
    assert [0, 1, 2] == [
        site.call("check", *limits).code
        for limits in ([], ["-w", 40], ["--warning", 30, "--critical", 40])
    ]
    (site.state / "sweep.json").write_text(json.dumps({"started": time.time() - 50}))
    assert "WARNING" == verdicts(site.call("check", "--json", "--sweep-age", 40))["sweep"]


def leave_an_event(site: CommandSite) -> None:
    """Write an event, as a hook does."""
    site.put_event("1-start-5-0-0-1", time=time.time())


def leave_an_archive(site: CommandSite) -> None:
    """Make the archive of a run that has been delivered."""
    (site.state / "delivered").mkdir()


def leave_a_last_event(site: CommandSite) -> None:
    """Write the time of an event into the drain's state."""
    document = json.loads((site.state / "drain.json").read_text())
    (site.state / "drain.json").write_text(json.dumps(document | {"last_event": 5.0}))


@pytest.mark.usefixtures("drain")
@pytest.mark.parametrize(
    ("leave", "verdict"),
    [
        (lambda _: None, "OK"),
        (leave_an_event, "WARNING"),
        (leave_an_archive, "WARNING"),
        (leave_a_last_event, "WARNING"),
    ],
)
def test_a_missing_sweep_is_reported_after_the_first_job(
    site: CommandSite, leave: Callable[[CommandSite], None], verdict: str
) -> None:
    """The result is a warning once an event or the archive shows that a job has run."""
    leave(site)
    assert verdict == verdicts(site.call("check", "--json"))["sweep"]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "inf", "nan"])
def test_a_limit_must_be_a_positive_number_of_seconds(site: CommandSite, limit: str) -> None:
    """Zero, a negative number, text, inf and nan end with exit code 2."""
    said = site.call("check", f"--warning={limit}")
    assert 2 == said.code
    assert "expected a number of seconds" in said.err


def test_a_missing_drain_is_critical(site: CommandSite) -> None:
    """No process holds the drain's lock; the exit code is 2."""
    said = site.call("check", "--json")
    assert 2 == said.code
    assert ("CRITICAL", 2) == (said.json["verdict"], said.json["code"])
    assert "CRITICAL" == verdicts(said)["drain"]


@pytest.mark.usefixtures("drain")
def test_halted_deliveries_are_critical_at_once(site: CommandSite) -> None:
    """The first line has the reason, such as an expired token; no age limit applies."""
    halted = {"health": "halted", "since": time.time(), "reason": "the token has expired"}
    site.write_drain_state(started=0.0, updated=time.time(), destination=halted, server=None)
    said = site.call("check")
    assert 2 == said.code
    assert said.out.startswith(
        "CC_SLURM_SYNC CRITICAL - cc-backend: deliveries have been halted for "
    )
    assert ": the token has expired | " in said.out


def test_check_creates_its_log_file(site: CommandSite, tmp_path: Path) -> None:
    """`check` has the option `--log-file`, like every command."""
    site.call("check", "--log-file", tmp_path / "log")
    assert (tmp_path / "log").exists()


def test_a_terminal_shows_what_is_queried(site: CommandSite) -> None:
    """The line `querying Slurm ...` is erased at the end and is not part of the output."""
    said = site.call("check", "--full", terminal=True)
    assert "querying cc-backend ..." in said.err
    assert said.err.endswith("querying Slurm ...\r\x1b[K")
    assert "querying" not in said.out


def test_a_check_without_full_loads_no_large_library(site: CommandSite) -> None:
    """A monitoring system calls `check` every minute, so it must not import requests."""
    code = (
        "import sys; from spool.cli import main; main(sys.argv[1:]);"
        "print(sorted({'requests', 'tenacity', 'filelock', 'urllib3'} & set(sys.modules)))"
    )
    argv = [sys.executable, "-c", code, "check", "-c", str(site.config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.splitlines()[-1]


def test_the_token_is_in_no_output(site: CommandSite) -> None:
    """`check` shows the token neither as text nor with --json nor with --full."""
    secret = site.token.read_text().strip()
    for how in ([], ["--json"], ["--full"]):
        said = site.call("check", *how)
        assert secret not in said.out + said.err
