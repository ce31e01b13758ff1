"""Checks that token, certificate authority and topology files can be read and used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from config_site import TOPOLOGY, config_of, problems, site, written

from ccbackend.topology import Cluster
from slurm.process import ProcessRunner
from spool.commands.drain_inputs import composer
from spool.config import Config, load_checked, token_source
from spool.config.backend_settings import site_map
from spool.config.paths import check_paths, read_topology
from spool.connections import node_reporter
from spool.errors import ConfigError
from spool.files.node_round import NodeRound


@pytest.mark.parametrize("kind", ["link", "readable", "missing", "empty", "directory"])
def test_a_bad_token_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A link, a directory, and a missing, empty or world-readable file are refused."""
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


def test_systemds_credential_is_preferred_to_the_token_file(tmp_path: Path) -> None:
    """With the credential the token file may be missing."""
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
    """With cc-backend.apikey, as the predecessor has it, token_file may be missing."""
    document = site(tmp_path, cc_backend={"apikey": "abc"})
    del document["cc-backend"]["token_file"]

    config = load_checked(written(tmp_path, document), temporary=())

    assert token_source(config) is None


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_a_bad_ca_file_is_refused(tmp_path: Path, kind: str) -> None:
    """cc-backend.ca_file must be a readable file; here it is missing or a directory."""
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
    """Loading the configuration and using the file both fail, e.g. with `not a cluster.json`."""
    path = tmp_path / "cluster.json"
    if contents is not None:
        path.write_bytes(contents)
    config = config_of(tmp_path, topology_files=[str(path)])

    assert [f"topology_files[0]: {path} cannot be used: {why}"] == problems(config)
    with pytest.raises(ConfigError):
        site_map(config)


def test_a_huge_topology_file_is_not_read(tmp_path: Path) -> None:
    """A file of 1 GiB is refused by its size, because a wrong path may name any file."""
    path = tmp_path / "cluster.json"
    path.touch()
    os.truncate(path, 1 << 30)

    with pytest.raises(ValueError, match="more than"):
        read_topology(path)


def test_the_servers_topology_is_preferred_to_a_topology_file(tmp_path: Path) -> None:
    """A file adds only clusters that the server does not list; both formats are read."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(TOPOLOGY))
    two.write_text(json.dumps({"clusters": [TOPOLOGY | {"name": "other"}]}))
    config = config_of(tmp_path, topology_files=[str(one), str(two)])
    server = Cluster("other", ())

    mapping = site_map(config, [server])

    assert {"lab", "other"} == set(mapping.clusters)
    assert server == mapping.clusters["other"]
    assert mapping.clusters["lab"].subcluster("n3") is not None


def _config_with_topology(directory: Path) -> tuple[Config, Path]:
    """Return a configuration with a topology file, and the file."""
    path = directory / "cluster.json"
    path.write_text(json.dumps(TOPOLOGY))
    commands = {"scontrol": str(directory / "scontrol")}
    return config_of(directory, topology_files=[str(path)], slurm=commands), path


def test_a_topology_file_may_be_removed_while_the_drain_runs(tmp_path: Path) -> None:
    """The contents of the file are kept when the clusters of cc-backend change."""
    config, path = _config_with_topology(tmp_path)
    made = composer(config)
    path.unlink()

    assert {"lab", "other"} == set(made.site_of([Cluster("other", ())]).clusters)


def test_a_topology_file_may_be_removed_before_a_round_of_node_states(tmp_path: Path) -> None:
    """The round still goes on to query Slurm, which does not answer in this test."""
    config, path = _config_with_topology(tmp_path)
    backend: Any = SimpleNamespace(
        server=SimpleNamespace(takes_node_states=True),
        clusters=lambda: SimpleNamespace(clusters=(Cluster("lab", ()),)),
    )
    reporter = node_reporter(config, ProcessRunner(), backend)
    path.unlink()

    assert reporter.run(NodeRound()).problem.startswith("Slurm did not answer")
