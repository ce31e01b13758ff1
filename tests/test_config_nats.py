"""The section `nats` of the configuration: URLs, subjects, logins and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_site import CommandSite

from spool.config import Config, load, load_checked
from spool.errors import ConfigError

BASE = {"servers": "nats://localhost", "subject": "cc.job"}


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site whose configuration is good."""
    return CommandSite(tmp_path / "site")


def loaded(site: CommandSite, **nats: Any) -> Config:
    """Return the configuration with a section `nats`."""
    site.document["nats"] = nats
    site.write()
    return load(site.config)


def problems(site: CommandSite, **nats: Any) -> list[str]:
    """Return the keys with a problem."""
    with pytest.raises(ConfigError) as caught:
        loaded(site, **nats)
    return [problem.path for problem in caught.value.problems]


def secret(site: CommandSite, mode: int = 0o640) -> str:
    """Write a file with a secret; return its path."""
    path = site.root / "secret"
    path.write_text("hidden\n")
    path.chmod(mode)
    return str(path)


def test_one_url_is_a_list_of_one(site: CommandSite) -> None:
    """nats.servers may be a string, so that a site with one broker need not write brackets."""
    assert ("nats://localhost",) == loaded(site, **BASE).nats.servers


def test_a_cluster_of_brokers_is_a_list(site: CommandSite) -> None:
    """nats.servers may be a list of URLs, with TLS and ports."""
    urls = ["tls://a.example.org:4222", "tls://b.example.org"]

    assert tuple(urls) == loaded(site, **BASE | {"servers": urls}).nats.servers


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "localhost",
        "nats://",
        "nats://localhost/path",
        "nats://localhost:0",
        "nats://localhost:x",
        "nats://user:hidden@localhost",
        7,
    ],
)
def test_an_invalid_nats_url_is_refused(site: CommandSite, url: object) -> None:
    """A password in the URL is refused, too: the configuration file is shown and copied."""
    assert ["nats.servers[0]"] == problems(site, **BASE | {"servers": [url]})


@pytest.mark.parametrize("subject", ["cc.*", "cc.>", "cc job", ".cc", "cc..job", ""])
def test_an_invalid_nats_subject_is_refused(site: CommandSite, subject: str) -> None:
    """Wildcards are only for subscribers; spaces and empty parts are refused, too."""
    assert ["nats.subject"] == problems(site, **BASE | {"subject": subject})[:1]


@pytest.mark.parametrize(
    ("nats", "key"),
    [
        ({"servers": "nats://localhost"}, "nats.subject"),
        ({"mode": "transport"}, "nats.servers"),
        (BASE | {"user": "anna"}, "nats.user"),
        (BASE | {"password_file": "/x"}, "nats.user"),
        (BASE | {"user": "a", "password_file": "/x", "creds_file": "/y"}, "nats.creds_file"),
        (BASE | {"key_file": "/x"}, "nats.key_file"),
    ],
)
def test_contradictory_nats_keys_are_refused(
    site: CommandSite, nats: dict[str, Any], key: str
) -> None:
    """Examples are a user without password_file and a key_file without cert_file."""
    assert [key] == problems(site, **nats)


@pytest.mark.parametrize(
    ("url", "number"),
    [("nats://localhost", 0), ("nats://n.example.org", 1), ("tls://n.example.org", 0)],
)
def test_a_nats_password_without_tls_gives_a_warning(
    site: CommandSite, url: str, number: int
) -> None:
    """A server on the loopback address needs no TLS."""
    found = loaded(site, servers=url, subject="cc.job", user="a", password_file=secret(site))

    assert number == sum("may send the password" in each for each in found.warnings)


@pytest.mark.parametrize("key", ["creds_file", "key_file"])
def test_a_nats_secret_that_others_can_read_is_refused(site: CommandSite, key: str) -> None:
    """creds_file and key_file with mode 644 are refused; no message shows their contents."""
    nats = BASE | {key: secret(site, 0o644), "cert_file": secret(site, 0o644)}
    loaded(site, **nats)
    with pytest.raises(ConfigError) as caught:
        load_checked(site.config)

    (problem,) = caught.value.problems
    assert (f"nats.{key}", True) == (problem.path, "other users can read" in problem.problem)
    assert "hidden" not in json.dumps([str(each) for each in caught.value.problems])


def test_a_missing_nats_ca_file_is_refused(site: CommandSite) -> None:
    """nats.ca_file is not secret, so it only has to exist."""
    loaded(site, **BASE, ca_file="/nowhere/ca.pem")
    with pytest.raises(ConfigError) as caught:
        load_checked(site.config)

    assert ["nats.ca_file"] == [problem.path for problem in caught.value.problems]
