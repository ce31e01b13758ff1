"""What a running drain detects of a changed configuration, token or spool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from command_site import TOKEN, CommandSite
from drain_command_site import Served, drain_site
from stub_server import StubServer

from ccbackend.errors import TokenError
from slurm.process import ProcessRunner
from spool import config
from spool.commands.config_watcher import ConfigWatcher, token_for
from spool.commands.drain_inputs import DrainClients
from spool.drain import event_watch
from spool.files.layout import Layout
from spool.identity import MaskedToken


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that knows our token."""
    with StubServer(Served(token=TOKEN)) as stub:
        yield stub


@pytest.fixture
def site(tmp_path: Path, server: StubServer) -> CommandSite:
    """Return a site with that server, a silent Slurm, and a run to be delivered."""
    return drain_site(tmp_path / "site", server)


def watch_of(site: CommandSite) -> ConfigWatcher:
    """Return a watcher of a site's configuration and token."""
    loaded = config.load(site.config)
    held = MaskedToken(loaded)
    held.current()
    return ConfigWatcher(loaded, held)


def test_unchanged_files_are_not_reported(site: CommandSite) -> None:
    """The watcher of configuration and token returns False at every call."""
    watch = watch_of(site)

    assert [False, False] == [watch(), watch()]


def test_the_watched_files_are_token_and_configuration(site: CommandSite) -> None:
    """The watcher names both files, so that the drain watches their directories."""
    assert {site.config, site.token} == set(watch_of(site).files)


def test_a_drain_watches_the_directory_of_its_token(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replaced token file wakes the drain's loop."""
    monkeypatch.setattr(event_watch, "INPUTS_SETTLE_SECONDS", 0.0)
    watcher = watch_of(site)
    clients = DrainClients(config.load(site.config), ProcessRunner(), watcher.token)
    answers: Queue[Any] = Queue()
    with Layout(site.spool) as layout:
        watch = clients.externals(watcher, tuple, with_nodes=False).new_watch(layout, answers)
        replace_token(site, TOKEN + "x")
        found = answers.get(timeout=10.0)
        found.take()
        assert watch is found
        watch.close()
    clients.close()


def test_an_edit_before_the_first_call_is_reported(site: CommandSite) -> None:
    """The configuration was edited after it was loaded and before the watcher was made."""
    loaded = config.load(site.config)
    site.document["drain"] = {"stop_hold_seconds": 200}
    site.write()

    assert ConfigWatcher(loaded, MaskedToken(loaded))()


def replace_token(site: CommandSite, text: str | None) -> None:
    """Write a token, or remove the file."""
    if text is None:
        site.token.unlink()
    else:
        site.token.write_text(text)
        site.token.chmod(0o640)


@pytest.mark.parametrize(
    "texts",
    [
        (TOKEN + "x\n", TOKEN + "xyz\n"),
        (None, TOKEN + "\n"),
        ("no token", TOKEN + "\n"),
        ("", TOKEN),
    ],
    ids=["replaced twice", "removed and put back", "wrong, then right", "empty, then right"],
)
@pytest.mark.parametrize("is_read", [True, False])
def test_each_change_of_the_token_is_reported_once(
    site: CommandSite, texts: tuple[str | None, ...], *, is_read: bool
) -> None:
    """A removed, empty or invalid token file counts, too, even if the token was read before."""
    watch, news = watch_of(site), []
    for text in texts:
        replace_token(site, text)
        if is_read:
            with suppress(TokenError):
                watch.token.current()
        news += [watch(), watch()]

    assert [True, False] * len(texts) == news


def test_a_corrected_mode_of_the_token_file_is_reported(site: CommandSite) -> None:
    """The token file was readable for everybody, so the drain did not use it."""
    watch, news = watch_of(site), []
    for mode in (0o644, 0o600):
        site.token.chmod(mode)
        news += [watch(), watch()]

    assert [True, False, True, False] == news


def test_a_configuration_with_errors_is_logged_and_not_used(
    site: CommandSite, caplog: pytest.LogCaptureFixture
) -> None:
    """The old configuration stays in use; a missing file is an error, too."""
    watch = watch_of(site)
    site.document["unknown"] = 1
    site.write()
    changed = watch()
    site.config.unlink()
    gone = watch()

    assert (True, True, None) == (changed, gone, watch.new_config)
    assert ["unknown: unknown key", "the file: cannot be read"] == [
        record.getMessage().partition("stays in use: ")[2].partition(";")[0][: len(text)]
        for record, text in zip(
            caplog.records, ("unknown: unknown key", "the file: cannot be read"), strict=True
        )
    ]


def test_another_spool_needs_a_restart(
    site: CommandSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A changed spool.directory is not loaded, and the log says to restart cc-spool."""
    watch = watch_of(site)
    other = CommandSite(tmp_path / "other")
    site.document["spool"] = other.document["spool"]
    site.write()
    watch()

    assert watch.new_config is None
    assert "type `systemctl restart cc-spool`" in caplog.text


def test_a_reload_keeps_the_token_of_the_same_file(site: CommandSite, tmp_path: Path) -> None:
    """The token may have been read as root, before the drain changed its user."""
    held = MaskedToken(config.load(site.config))
    same = token_for(config.load(site.config), held)
    other = token_for(config.load(CommandSite(tmp_path / "other").config), held)

    assert same is held
    assert other.path == tmp_path / "other" / "token"
