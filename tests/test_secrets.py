"""The token is in no file, no output, and no argument of a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Said
from command_site import NOON, TOKEN, CommandSite, run_of
from stub_server import Answer, Model, StubServer

from spool.drain.service import Service
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
HERE = Path(__file__).parent.parent
SPY = """#!/bin/sh
{ echo "$0 $*"; env; } >> '%s'
exit 1
"""


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that repeats the token in its answer about job 6."""
    refusal = json.dumps({"status": "Bad Request", "error": f"you said {TOKEN}, no"})
    with StubServer(Model(token=TOKEN, poison={6: Answer(400, refusal)})) as stub:
        yield stub


@pytest.fixture
def site(tmp_path: Path, server: StubServer) -> CommandSite:
    """Return a site whose Slurm commands record how they were called."""
    made = CommandSite(tmp_path / "site")
    spy = made.root / "spy"
    spy.write_text(SPY % (made.root / "seen"))
    spy.chmod(0o755)
    made.document["cc-backend"]["host"] = server.url
    made.document["slurm"] = dict.fromkeys(("squeue", "sacct", "scontrol"), str(spy))
    made.write()
    made.put(Directory.TODO, run_of(5, end=END))
    made.put(Directory.TODO, run_of(6))
    made.put_event("1-start-7-0-0-77")
    return made


def leaks(site: CommandSite, *said: Said) -> list[str]:
    """Return the texts that contain the token or its signed part."""
    secrets = (TOKEN, TOKEN.split(".")[2])
    texts = [each.out + each.err for each in said] + [site.everything().decode()]
    return [text for text in texts for secret in secrets if secret in text]


def test_the_token_is_in_no_file_or_output_of_a_drain(site: CommandSite) -> None:
    """cc-backend repeats the token in a rejection, which is stored in a dead letter."""
    said = site.call("drain", "--once", "-d", "--log-file", site.root / "log")
    looks = [site.call(*words) for words in (["list"], ["show", "6"], ["status", "--json"])]

    assert [f"6-{NOON}.json"] == site.names("dead")
    assert [] == leaks(site, said, *looks)


def test_the_token_is_in_no_argument_or_environment_of_a_child(site: CommandSite) -> None:
    """Slurm's commands, which the drain calls, do not get the token."""
    site.call("drain", "--once")
    seen = (site.root / "seen").read_text()

    assert "spy" in seen
    assert TOKEN not in seen


def test_the_token_is_in_no_traceback(site: CommandSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of `drain`, `status`, `list` or `show` has the token; the output has `***`."""

    def fail(*_: object) -> None:
        raise ValueError(f"Authorization: Bearer {TOKEN}")

    monkeypatch.setattr(Service, "run_once", fail)
    monkeypatch.setattr(Layout, "names", fail)
    monkeypatch.setattr(Layout, "mtimes", fail)
    said = [
        site.call(*words, "--log-file", site.root / "log")
        for words in (["drain", "--once"], ["status"], ["list"], ["show", "5"])
    ]

    assert {1} == {each.code for each in said}
    assert all("ValueError: Authorization: Bearer ***" in each.err for each in said)
    assert [] == leaks(site, *said)


def test_the_token_is_in_no_error_about_its_file(site: CommandSite) -> None:
    """A damaged token is described and not quoted."""
    site.token.write_text(f"{TOKEN} {TOKEN}\n")
    said = [site.call(*words) for words in (["drain", "--once"], ["status"])]

    assert [78, 0] == [each.code for each in said]
    assert [] == leaks(site, *said)


def test_the_token_in_the_configuration_is_not_quoted(site: CommandSite) -> None:
    """The token is in the old key `apikey`, and in an unknown key; both are errors."""
    site.document["cc-backend"] = {"host": "https://h/x", "apikey": f"{TOKEN} {TOKEN}"}
    site.document["unknown"] = TOKEN
    site.write()
    said = site.call("drain", "--once")

    assert 78 == said.code
    assert TOKEN not in said.out + said.err


def test_no_option_of_the_drain_takes_the_token(site: CommandSite) -> None:
    """The output of `cc-spool drain --help` does not have the word token."""
    done = subprocess.run(
        [sys.executable, "-m", "spool.cli", "drain", "--help"],
        capture_output=True,
        check=True,
        text=True,
        cwd=HERE,
    )

    assert "token" not in done.stdout.lower()
    assert [] == leaks(site, Said(done.stdout, done.stderr, 0))
