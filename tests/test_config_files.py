"""Token, authority and topology file of a configuration can be read and used."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from config_site import TOPOLOGY, config_of, problems, site, written

from ccbackend.topology import Cluster
from spool.config import load_checked, token_source
from spool.config.backend_settings import site_map
from spool.config.paths import check_paths, read_topology
from spool.errors import ConfigError


@pytest.mark.parametrize("kind", ["link", "readable", "missing", "empty", "directory"])
def test_a_bad_token_file_is_refused(tmp_path: Path, kind: str) -> None:
    """The problem names the file, the hint what to do; the token is not shown."""
    config = config_of(tmp_path)
    token = tmp_path / "token"
    if kind == "readable":
        token.chmod(0o644)
    elif kind == "empty":
        token.write_text("")
    else:
        token.unlink()
    if kind == "link":
        token.symlink_to(tmp_path / "config.json")
    if kind == "directory":
        token.mkdir(mode=0o750)

    (problem,) = problems(config)

    assert problem.startswith(f"cc-backend.token_file: {token}: ")


def test_systemds_credential_comes_before_the_token_file(tmp_path: Path) -> None:
    """Where it is there, the file need not be."""
    config = config_of(tmp_path)
    (tmp_path / "token").rename(tmp_path / "kept")
    credentials = tmp_path / "credentials"
    credentials.mkdir()

    assert tmp_path / "token" == token_source(config)
    assert tmp_path / "token" == token_source(config, credentials=credentials)
    (tmp_path / "kept").rename(credentials / "token")
    assert credentials / "token" == token_source(config, credentials=credentials)
    assert ((), ()) == check_paths(config, credentials=credentials, temporary=())


def test_a_token_in_the_configuration_needs_no_file(tmp_path: Path) -> None:
    """The predecessor's way."""
    document = site(tmp_path, cc_backend={"apikey": "abc"})
    del document["cc-backend"]["token_file"]

    config = load_checked(written(tmp_path, document), temporary=())

    assert token_source(config) is None


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_a_bad_authority_is_refused(tmp_path: Path, kind: str) -> None:
    """A file of certificates must be one that can be read."""
    if kind == "directory":
        (tmp_path / "ca.pem").mkdir()
    config = config_of(tmp_path, cc_backend={"ca_file": f"{tmp_path}/ca.pem"})

    assert [f"cc-backend.ca_file: {tmp_path}/ca.pem cannot be read"] == problems(config)


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (None, "No such file or directory"),
        (b"{", "not a cluster.json"),
        (b"[]", "not a cluster.json"),
        (b"[" * 200_000, "not a cluster.json"),
    ],
)
def test_a_bad_topology_file_is_refused(tmp_path: Path, contents: bytes | None, why: str) -> None:
    """By the check, and where the map is made of it."""
    path = tmp_path / "cluster.json"
    if contents is not None:
        path.write_bytes(contents)
    config = config_of(tmp_path, topology_files=[str(path)])

    assert [f"topology_files[0]: {path} cannot be used: {why}"] == problems(config)
    with pytest.raises(ConfigError):
        site_map(config)


def test_a_huge_topology_file_is_not_read(tmp_path: Path) -> None:
    """A wrong name may lead to anything."""
    path = tmp_path / "cluster.json"
    path.touch()
    os.truncate(path, 1 << 30)

    with pytest.raises(ValueError, match="more than"):
        read_topology(path)


def test_the_servers_word_counts_more_than_a_topology_file(tmp_path: Path) -> None:
    """A file adds only what the server does not list; both forms of a file are read."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(TOPOLOGY))
    two.write_text(json.dumps({"clusters": [TOPOLOGY | {"name": "other"}]}))
    config = config_of(tmp_path, topology_files=[str(one), str(two)])
    server = Cluster("other", ())

    mapping = site_map(config, [server])

    assert {"lab", "other"} == set(mapping.clusters)
    assert server == mapping.clusters["other"]
    assert mapping.clusters["lab"].subcluster("n3") is not None
