"""`cc-spool check` when configuration, spool, state or log cannot be used or read."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from check_command_site import drain_lock, verdicts, working_site
from command_site import CommandSite

from spool.checks.local import CheckContext, local_results
from spool.checks.result import AgeLimits, CheckStatus
from spool.config import load
from spool.identity import open_token
from spool.preflight import permissions


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site whose drain works."""
    return working_site(tmp_path)


@pytest.fixture
def drain(site: CommandSite) -> Iterator[None]:
    """Hold the drain's lock."""
    with drain_lock(site):
        yield


def test_a_missing_configuration_file_is_named(site: CommandSite) -> None:
    """The message has the path, because the default may be the wrong file."""
    site.config.unlink()
    said = site.call("check")
    assert 2 == said.code
    assert f"{site.config}: the file: cannot be read: No such file or directory" in said.out


def test_configuration_problems_are_critical(site: CommandSite) -> None:
    """Each problem of the configuration is one result; the exit code is 2, not 78."""
    site.document |= {"surprise": 1, "clustername": 5}
    site.write()
    said = site.call("check")
    assert 2 == said.code
    assert said.out.count("[CRITICAL] configuration: ") == 2


def test_unusable_files_do_not_hide_other_results(site: CommandSite) -> None:
    """The token can be read by others and dead/ is missing; the drain is still checked."""
    site.token.chmod(0o644)
    (site.spool / "dead").rmdir()
    said = site.call("check", "--json")
    assert 2 == said.code
    found = verdicts(said)
    assert ("CRITICAL", "UNKNOWN", "CRITICAL") == (
        found["configuration"],
        found["spool"],
        found["drain"],
    )
    assert "token" not in found


@pytest.mark.parametrize("name", ["drain.json", "sweep.json"])
@pytest.mark.usefixtures("drain")
def test_a_damaged_state_file_is_unknown(site: CommandSite, name: str) -> None:
    """If drain.json or sweep.json is not valid JSON, the exit code is 3."""
    (site.state / name).write_text("{")
    said = site.call("check", "--json")
    assert (3, "UNKNOWN") == (said.code, verdicts(said)[name.removesuffix(".json")])


def test_a_drain_lock_that_is_a_link_is_unknown(site: CommandSite) -> None:
    """A link in place of the lock file is never followed."""
    (site.state / "drain.lock").symlink_to(site.token)
    assert "UNKNOWN" == verdicts(site.call("check", "--json"))["drain"]


def test_a_missing_state_directory_is_critical(site: CommandSite) -> None:
    """The check still runs; a critical result names spool.state_directory."""
    for path in site.state.iterdir():
        path.unlink()
    site.state.rmdir()
    said = site.call("check")
    assert 2 == said.code
    assert "spool.state_directory" in said.out


def test_a_token_that_the_user_of_the_check_cannot_read_is_unknown(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same error is critical if the check runs as the service user."""
    config, real_open = load(site.config), os.open

    def refuse(path: Any, *how: Any, **more: Any) -> int:
        if path == site.token:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *how, **more)

    monkeypatch.setattr(os, "open", refuse)
    context = CheckContext(limits=AgeLimits(), now=time.time())
    for uid, verdict in ((0, CheckStatus.UNKNOWN), (1, CheckStatus.CRITICAL)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: site.state.stat().st_uid + 1 - uid)
        first, *_ = local_results(config, open_token(config), context)
        assert (verdict, "configuration") == (first.status, first.name)


def test_a_log_file_that_cannot_be_opened_is_unknown(site: CommandSite, tmp_path: Path) -> None:
    """The exit code is 3 (UNKNOWN of a monitoring plugin), and a line `log` has the error."""
    said = site.call("check", "--log-file", tmp_path / "none" / "log")
    assert (3, True) == (said.code, "[UNKNOWN] log: " in said.out)


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work as an ordinary user without a name."""
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 9)


WRONG_CALLER = (
    "CC_SLURM_SYNC UNKNOWN - check --full: must run as root or as the service user{}, not as"
    f" {2**31 - 9}; sudo cc-spool check --full\n"
)


@pytest.mark.usefixtures("ada")
def test_an_ordinary_user_gets_one_line_from_the_full_check(site: CommandSite) -> None:
    """The line names the service user; without a state directory, the owner of the spool."""
    owner = site.state.owner()
    with_state = site.call("check", "--full")
    as_json = site.call("check", "--full", "--json")
    shutil.rmtree(site.state)
    without = site.call("check", "--full")

    assert (3, WRONG_CALLER.format(f" {owner}"), "") == (
        with_state.code,
        with_state.out,
        with_state.err,
    )
    assert (3, {"check --full": "UNKNOWN"}) == (as_json.code, verdicts(as_json))
    assert (with_state.code, with_state.out) == (without.code, without.out)


@pytest.mark.usefixtures("ada")
def test_without_spool_and_state_every_user_can_run_the_full_check(site: CommandSite) -> None:
    """A user who sets up a trial gets a message that names what is missing."""
    shutil.rmtree(site.state)
    shutil.rmtree(site.spool)
    said = site.call("check", "--full", "--json")

    assert 2 == said.code
    assert "check --full" not in verdicts(said)


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("closed", ["state", "configuration"])
def test_the_full_check_refuses_a_user_without_read_access(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """The message names no service user if state directory or configuration is unreadable."""
    refused = PermissionError(13, "Permission denied")

    def refuse(*_how: object, **_more: object) -> None:
        raise refused

    if closed == "state":
        monkeypatch.setattr(permissions, "_owner", refuse)
    else:
        monkeypatch.setattr(os, "open", refuse)
    said = site.call("check", "--full")

    assert (3, WRONG_CALLER.format("")) == (said.code, said.out)
