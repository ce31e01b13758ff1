"""The token of a configuration: kept, replaced, expired, or a credential of systemd."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_site import TOKEN, CommandSite

from ccbackend.errors import TokenError
from spool import config, console
from spool.identity import MaskedToken, credentials_directory, open_token


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site."""
    return CommandSite(tmp_path / "site")


def test_a_held_token_is_hidden_from_all_we_say(site: CommandSite) -> None:
    """The old one and the one that replaces it."""
    held = MaskedToken(config.load(site.config))
    held()
    site.token.write_text("made-up-new-one\n")
    held()

    assert "***, ***" == console.safe_line(f"{TOKEN}, made-up-new-one")


def test_a_replaced_token_has_another_fingerprint(site: CommandSite) -> None:
    """Reading it changes nothing about that."""
    held = open_token(config.load(site.config))
    before = [held.fingerprint(), held.fingerprint()]
    site.token.write_text("made-up-new-one\n")
    after = held.fingerprint()

    assert (1, True) == (len(set(before)), after != before[0])
    assert ("made-up-new-one", after) == (held(), held.fingerprint())


def test_a_token_in_the_configuration_never_changes(site: CommandSite) -> None:
    """But with the configuration itself."""
    site.document["cc-backend"] = {"host": "http://127.0.0.1:9", "apikey": TOKEN}
    site.write()
    held = open_token(config.load(site.config))

    assert (None, TOKEN, None) == (held.path, held(), held.fingerprint())


def test_a_token_that_cannot_be_read_is_told_at_its_use(site: CommandSite) -> None:
    """Many commands do without it."""
    site.token.unlink()
    held = open_token(config.load(site.config))

    with pytest.raises(TokenError, match="cannot be opened"):
        held()


@pytest.mark.parametrize("is_in_a_file", [True, False])
def test_an_expired_token_is_not_used(
    site: CommandSite,
    *,
    is_in_a_file: bool,
) -> None:
    """Its last second is the one before `exp`; looking at it goes on."""
    expires_at_5 = "e30.eyJleHAiOjV9.c2ln"  # {}, {"exp":5}
    if not is_in_a_file:
        site.document["cc-backend"] = {"host": "http://127.0.0.1:9", "apikey": expires_at_5}
        site.write()
    site.token.write_text(expires_at_5)
    now = 4.9
    held = MaskedToken(config.load(site.config), clock=lambda: now)
    in_time = held()
    now = 5.0

    assert (expires_at_5, 5.0) == (in_time, held.current().expires_at)
    with pytest.raises(TokenError, match="the token has expired; write a new token to this file"):
        held()


def test_a_credential_of_systemd_comes_first(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is one."""
    directory = site.root / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    without = MaskedToken(config.load(site.config)).path
    (directory / "token").write_text("made-up-credential\n")
    (directory / "token").chmod(0o400)
    held = open_token(config.load(site.config))

    assert (site.token, directory / "token") == (without, held.path)
    assert "made-up-credential" == held()
    assert 0 == site.call("status").code


def test_no_credentials_is_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run by hand have none."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    by_hand = credentials_directory()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")

    assert (None, Path("/run/credentials/x")) == (by_hand, credentials_directory())
