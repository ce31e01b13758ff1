"""The token of a configuration: masked, replaced, expired, or a credential of systemd."""

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


def test_a_token_is_masked_in_all_output(site: CommandSite) -> None:
    """A line of output has *** for the old token and for its replacement."""
    held = MaskedToken(config.load(site.config))
    held()
    site.token.write_text("made-up-new-one\n")
    held()

    assert "***, ***" == console.safe_line(f"{TOKEN}, made-up-new-one")


def test_a_replaced_token_has_another_fingerprint(site: CommandSite) -> None:
    """A new token in the file changes the fingerprint; reading the token does not."""
    held = open_token(config.load(site.config))
    before = [held.fingerprint(), held.fingerprint()]
    site.token.write_text("made-up-new-one\n")
    after = held.fingerprint()

    assert (1, True) == (len(set(before)), after != before[0])
    assert ("made-up-new-one", after) == (held(), held.fingerprint())


def test_a_token_in_the_configuration_has_no_fingerprint(site: CommandSite) -> None:
    """No file is watched: only a new configuration changes the token `apikey`."""
    site.document["cc-backend"] = {"host": "http://127.0.0.1:9", "apikey": TOKEN}
    site.write()
    held = open_token(config.load(site.config))

    assert (None, TOKEN, None) == (held.path, held(), held.fingerprint())


def test_an_unreadable_token_file_is_an_error_at_its_use(site: CommandSite) -> None:
    """`open_token` itself raises no error, because many commands need no token."""
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
    """The token is valid until just before `exp`; `current` still returns it afterwards."""
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


def test_a_systemd_credential_takes_precedence_over_the_token_file(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token file is used if CREDENTIALS_DIRECTORY has no file `token`."""
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


def test_without_systemd_there_are_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that are run by hand have no CREDENTIALS_DIRECTORY."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    by_hand = credentials_directory()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")

    assert (None, Path("/run/credentials/x")) == (by_hand, credentials_directory())
