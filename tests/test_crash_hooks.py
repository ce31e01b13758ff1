"""A hook that is killed at every system call leaves a complete event or none.

`strace` delivers SIGKILL when the shell enters a call, so death after a call is death before the
next one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hook_process import HOOKS, SHELLS, installed_shell

from spool.files.event import EXTRAS_LIMIT_BYTES, Event, parse_extras
from spool.files.layout import Directory, Layout
from spool.files.state_files import CrashMarker
from spool.moment import Moment
from spool.resolve.event_scanner import EventScanner

EXTRAS = {"nodes": "n[1-3]", "user": "ada"}
KILLED = -9

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return the command of one shell that `/bin/sh` may be."""
    return installed_shell(request.param)


def traced(command: list[str], spool: Path, *options: str) -> int:
    """Run a hook on an empty spool under strace; return its exit status."""
    for directory in Directory:
        shutil.rmtree(spool / directory, ignore_errors=True)
        (spool / directory).mkdir(parents=True)
    done = subprocess.run(
        ["strace", *options, *command],
        env={
            "CC_SLURM_SYNC_SPOOL": str(spool),
            "PATH": "/usr/bin:/bin",
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NODELIST": EXTRAS["nodes"],
            "SLURM_JOB_USER": EXTRAS["user"],
        },
        check=False,
    )
    return done.returncode


def calls_of(command: list[str], spool: Path) -> Iterator[tuple[str, int]]:
    """Yield every system call of a hook: its name, and how often this name has occurred."""
    log = spool / "strace"
    assert traced(command, spool, "-qq", "-o", str(log), "-e", "signal=none") == 0
    seen: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        name = line.partition("(")[0]
        if name != "execve":  # the call that starts the shell; strace cannot inject there
            seen[name] += 1
            yield name, seen[name]


def found(spool: Path) -> tuple[list[Event], list[str]]:
    """Return what a drain finds: the events, and the names that it moves to dead."""
    with Layout(spool) as layout:
        events = EventScanner(layout, CrashMarker(spool / "handling")).scan(Moment(2e9, 2e9))
        dead = sorted(layout.names(Directory.DEAD))
    return events, dead


def deaths(shell: list[str], stub: Path, spool: Path) -> Iterator[tuple[list[Event], list[str]]]:
    """Kill the hook at each system call; yield what a drain finds after each."""
    spool.mkdir(exist_ok=True)
    command = [*shell, str(stub)]
    for name, number in list(calls_of(command, spool)):
        inject = f"inject={name}:signal=SIGKILL:when={number}"
        status = traced(command, spool, "-o", "/dev/null", "-e", inject)
        assert status == KILLED
        yield found(spool)


def is_whole(event: Event) -> bool:
    """Return whether an event is complete: the right kind and job, and no extras or all of them."""
    return (event.kind, event.job_id) == ("start", 7) and event.extras in ({}, EXTRAS)


def test_a_hook_killed_at_any_call_leaves_a_complete_event_or_none(
    shell: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file is moved to dead/; node list and user in the event are complete or ignored."""
    outcomes = list(deaths(shell, HOOKS / "prolog_slurmctld", tmp_path))
    with capsys.disabled():
        print(f"\nkilled at {len(outcomes)} calls of a hook under {' '.join(shell)}")

    assert [] == [dead for _, dead in outcomes if dead]
    assert all(is_whole(event) for events, _ in outcomes for event in events)
    counts = [len(events) for events, _ in outcomes]
    assert ({0, 1}, sorted(counts)) == (set(counts), counts)  # once the event exists it stays


@pytest.mark.parametrize(
    "wrong",
    [
        'printf "user=ada\\nend\\n" >"$new/.part"; mv "$new/.part" "$new/$name"',
        'printf "user=ada\\nend\\n" >"$new/$name"; printf "nodes=n[1-3]\\nend\\n" >>"$new/$name"',
        ': >"$new/$name"; rm "$new/$name"; printf "user=ada\\nend\\n" >"$new/$name"',
    ],
)
def test_a_hook_that_writes_partial_events_is_caught(tmp_path: Path, wrong: str) -> None:
    """The kill test fails for three wrong hooks, such as one that creates an empty event first."""
    stub = tmp_path / "hook"
    stub.write_text(f"new=$CC_SLURM_SYNC_SPOOL/new\nname=1-start-7-0-0-$$\n{wrong}\n")
    outcomes = list(deaths(["dash"], stub, tmp_path / "spool"))
    counts = [len(events) for events, _ in outcomes]
    whole = all(is_whole(event) for events, _ in outcomes for event in events)

    assert any(dead for _, dead in outcomes) or not whole or sorted(counts) != counts


def test_truncated_contents_of_an_event_are_ignored() -> None:
    """A power cut may leave any part of the contents, which are node list and user."""
    whole = b"nodes=n[1-3]\nuser=ada\nend\n"
    cuts = [parse_extras(whole[:size]) for size in range(len(whole))]

    assert ([{}] * len(whole), EXTRAS) == (cuts, parse_extras(whole))
    assert len(whole) < EXTRAS_LIMIT_BYTES
