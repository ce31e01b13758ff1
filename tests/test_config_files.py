"""What the configuration names is looked at: there, safe, and all problems in one report."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccbackend.topology import Cluster
from spool.config import Config, load, load_checked, token_source
from spool.config.backend_settings import host_overlaps, job_filters, metadata_policy, site_map
from spool.config.paths import check_paths, file_system, read_topology
from spool.config.rules import is_anchored, overlaps, sample_names
from spool.errors import ConfigError

TOPOLOGY = {
    "name": "lab",
    "metricConfig": [],
    "subClusters": [{"name": "cpu", "nodes": "n[1-4]", "topology": {"socket": [], "core": []}}],
}


def site(directory: Path, **changes: Any) -> dict[str, Any]:
    """Make all that a configuration names, and return its document; `cc_backend` is updated."""
    (directory / "state").mkdir(exist_ok=True)
    for name in ("new", "todo", "open", "dead", "tmp"):
        (directory / "spool" / name).mkdir(parents=True, exist_ok=True)
    token = directory / "token"
    token.write_text("abc\n")
    token.chmod(0o640)
    backend = {"host": "https://cc.example.org", "token_file": str(token)}
    backend |= changes.pop("cc_backend", {})
    places = {"directory": f"{directory}/spool", "state_directory": f"{directory}/state"}
    return {"clustername": "lab", "cc-backend": backend, "spool": places} | changes


def written(directory: Path, document: object) -> Path:
    """Write a configuration."""
    path = directory / "config.json"
    path.write_text(json.dumps(document))
    path.chmod(0o640)
    return path


def config_of(directory: Path, **changes: Any) -> Config:
    """Return the configuration of a site where everything is there."""
    return load(written(directory, site(directory, **changes)))


def problems(config: Config, **arguments: Any) -> list[str]:
    """Return the problems of what a configuration names."""
    found, _ = check_paths(config, temporary=(), **arguments)
    return [f"{each.path}: {each.problem}" for each in found]


def test_a_site_where_all_is_there_has_no_problem(tmp_path: Path) -> None:
    """Directories, token, authority and topology are found."""
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "cluster.json").write_text(json.dumps(TOPOLOGY))
    document = site(
        tmp_path,
        cc_backend={"ca_file": f"{tmp_path}/ca.pem"},
        topology_files=[f"{tmp_path}/cluster.json"],
        slurm={"state_save_location": f"{tmp_path}/slurm"},
    )

    config = load_checked(written(tmp_path, document), temporary=())

    assert ((), ()) == check_paths(config, temporary=())


def test_problems_of_contents_and_of_files_come_in_one_report(tmp_path: Path) -> None:
    """An unknown key, a wrong type, a readable token, a path in the URL, a missing directory."""
    document = site(tmp_path, cc_backend={"host": "https://h/"}, unknown=1, drain={"requeue": 1})
    document["spool"]["directory"] = f"{tmp_path}/none"
    (tmp_path / "token").chmod(0o644)

    with pytest.raises(ConfigError) as caught:
        load_checked(written(tmp_path, document), temporary=())

    assert {
        "unknown",
        "drain.requeue",
        "cc-backend.host",
        "cc-backend.token_file",
        "spool.directory",
    } == {each.path for each in caught.value.problems}


def test_a_refused_key_has_no_second_problem(tmp_path: Path) -> None:
    """The default that stands in for a refused value is not looked at."""
    document = site(tmp_path, cc_backend={"token_file": "token"})
    document["spool"] |= {"directory": 5, "state_directory": "state"}

    with pytest.raises(ConfigError) as caught:
        load_checked(written(tmp_path, document), temporary=())

    assert ["cc-backend.token_file", "spool.directory", "spool.state_directory"] == [
        each.path for each in caught.value.problems
    ]


def test_warnings_of_both_are_kept(tmp_path: Path) -> None:
    """A spool in memory is one; it comes after those of the contents."""
    document = site(tmp_path, node_regex="x")
    mounts = tmp_path / "mounts"
    mounts.write_text("1 1 0:1 / / rw - tmpfs none rw\n")
    config = load_checked(written(tmp_path, document), temporary=())

    found, warnings = check_paths(config, temporary=(), mounts=mounts)

    assert () == found
    assert ["spool.directory", "spool.state_directory"] == [w.partition(":")[0] for w in warnings]
    assert config.warnings[0].startswith("node_regex")


def test_temporary_places_are_refused(tmp_path: Path) -> None:
    """Also through a link; the service would see another /tmp."""
    config = replace(config_of(tmp_path), path=Path("/etc/cc-slurm-sync/config.json"))
    (tmp_path / "link").symlink_to(tmp_path / "spool")
    linked = replace(config, spool=replace(config.spool, directory=tmp_path / "link"))

    for each in (config, linked):
        found, _ = check_paths(each, temporary=[tmp_path])
        assert ["spool.directory", "spool.state_directory"] == [problem.path for problem in found]


def test_a_trial_in_a_temporary_place_is_warned_of(tmp_path: Path) -> None:
    """Who reads the configuration there sees the spool there as well."""
    config = load_checked(written(tmp_path, site(tmp_path)), temporary=[tmp_path, Path("/other")])

    assert [
        f"spool.directory: is in {tmp_path}; use this only for a trial",
        f"spool.state_directory: is in {tmp_path}; use this only for a trial",
    ] == list(config.warnings)


def test_slurmctlds_directory_is_refused_through_a_link(tmp_path: Path) -> None:
    """A lexical look would not see it."""
    (tmp_path / "saved").symlink_to(tmp_path / "spool")
    config = config_of(tmp_path, slurm={"state_save_location": f"{tmp_path}/saved"})

    assert ["spool.directory: is inside slurm.state_save_location"] == problems(config)


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    """It leads nowhere and hurts nobody."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    config = config_of(tmp_path, spool={"directory": f"{tmp_path}/loop"} | _state(tmp_path))

    (problem,) = problems(config)

    assert problem.startswith(f"spool.directory: {tmp_path}/loop cannot be used: Too many levels")


def test_a_file_where_a_directory_belongs_is_refused(tmp_path: Path) -> None:
    """The state directory as well as the spool."""
    config = config_of(tmp_path)
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("")

    assert [f"spool.state_directory: {tmp_path}/state is not a directory"] == problems(config)


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Its locks and runs would be anybody's."""
    config = config_of(tmp_path)
    (tmp_path / "state").chmod(0o757)

    assert [f"spool.state_directory: other users can write to {tmp_path}/state"] == problems(config)


def test_a_spool_that_lacks_directories_is_refused(tmp_path: Path) -> None:
    """All that are missing are named in one line."""
    config = config_of(tmp_path)
    (tmp_path / "spool" / "new").rmdir()
    (tmp_path / "spool" / "tmp").rmdir()

    assert [f"spool.directory: {tmp_path}/spool lacks new, tmp"] == problems(config)


def test_a_spool_on_several_file_systems_is_refused(tmp_path: Path) -> None:
    """A rename between them would be none."""
    config = config_of(tmp_path)
    (tmp_path / "spool" / "dead").rmdir()
    (tmp_path / "spool" / "dead").symlink_to("/proc")

    assert ["spool.directory: the spool's directories are on several file systems"] == problems(
        config
    )


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("nfs", True),
        ("nfs4", True),
        ("lustre", True),
        ("gpfs", True),
        ("beegfs", True),
        ("fuse.sshfs", True),
        ("ext4", False),
        ("xfs", False),
        ("nfsd", False),
    ],
)
def test_remote_file_systems_are_refused(tmp_path: Path, kind: str, refused: bool) -> None:  # noqa: FBT001 - a column of the table
    """A rename must be atomic and a lock a lock."""
    config = config_of(tmp_path)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 1 0:1 / / rw - {kind} srv:/x rw\n")

    found, _ = check_paths(config, temporary=(), mounts=mounts)

    assert ([f"is on {kind}"] * 2 if refused else []) == [each.problem for each in found]


def test_the_deepest_and_latest_mount_counts(tmp_path: Path) -> None:
    """An automounter's entry is covered by the one it mounts; blanks are written in octal."""
    (tmp_path / "a b").mkdir()
    mounts = tmp_path / "mounts"
    point = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(
        "1 1 0:1 / / rw shared:1 - ext4 /dev/sda rw\n"
        f"2 1 0:2 / {point} rw - autofs systemd-1 rw\n"
        f"3 1 0:3 / {point} rw - nfs4 srv:/x rw\n"
        "4 1 0:4 / /elsewhere rw - xfs /dev/sdb rw\n"
    )

    assert "nfs4" == file_system(tmp_path / "a b", mounts)
    assert "ext4" == file_system(tmp_path, mounts)


def test_where_the_system_tells_no_mounts_nothing_is_refused(tmp_path: Path) -> None:
    """Not known is not remote."""
    assert file_system(tmp_path, tmp_path / "none") is None
    assert ((), ()) == check_paths(config_of(tmp_path), temporary=(), mounts=tmp_path / "none")


def test_this_systems_mounts_are_understood(tmp_path: Path) -> None:
    """The real list names a type for every path."""
    assert file_system(tmp_path)


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


def test_the_maps_of_a_site_are_handed_on(tmp_path: Path) -> None:
    """What the file says is what requests are made of."""
    config = config_of(
        tmp_path,
        accelerators={"g": {"0": "0000:0e:00.0"}},
        gpuPciAddrs={"^d1$": ["x"]},
        host_map={"-ib$": ""},
        partition_clusters={"a100": "alex"},
        ignoreHosts="^login",
        assumeCoreIds=True,
        filters={
            "clusters": {"deny": ["c"]},
            "partitions": {"allow": ["p"]},
            "accounts": {"deny": ["a"]},
            "users": {"allow": ["u"]},
            "qos": {"deny": ["q"]},
            "opt_out_flag": "f",
        },
        metadata={
            "job_script": False,
            "slurm_info": False,
            "withheld_partitions": ["p"],
            "withheld_accounts": ["a"],
            "opt_out_flag": "m",
            "secret_patterns": ["x+"],
            "job_name_bytes": 1,
            "job_script_bytes": 2,
            "slurm_info_bytes": 3,
            "other_bytes": 4,
            "total_bytes": 5,
        },
    )

    mapping, filters, policy = site_map(config), job_filters(config), metadata_policy(config)

    assert ("lab", "alex") == (mapping.cluster_of("x"), mapping.cluster_of("a100"))
    assert "n1" == mapping.host("n1-ib.example.org")
    assert {0: "00000000:0E:00.0"} == _addresses(mapping.accelerators.table("g7"))
    assert {0: "x"} == _addresses(mapping.accelerators.table("d1"))
    assert mapping.assume_core_ids
    assert [frozenset("c"), frozenset("p")] == [filters.clusters.deny, filters.partitions.allow]
    assert (frozenset("a"), "f") == (filters.accounts.deny, filters.opt_out_flag)
    assert [frozenset("u"), frozenset("q")] == [filters.users.allow, filters.qos.deny]
    assert re.compile("^login") == filters.ignore_hosts
    assert (policy.job_script, policy.slurm_info, policy.withheld_flag) == (False, False, "m")
    assert [frozenset("p"), frozenset("a")] == [
        policy.withheld_partitions,
        policy.withheld_accounts,
    ]
    assert (re.compile("x+"),) == policy.secrets
    assert (1, 2, 3, 4, 5) == (
        policy.name_bytes,
        policy.script_bytes,
        policy.description_bytes,
        policy.other_bytes,
        policy.total_bytes,
    )


def test_the_defaults_are_those_of_the_mapping(tmp_path: Path) -> None:
    """A site that configures nothing gets what the library does by itself, and end summaries."""
    config = config_of(tmp_path)

    assert type(job_filters(config))() == job_filters(config)
    assert type(metadata_policy(config))(end_summary=True) == metadata_policy(config)
    assert type(site_map(config))(cluster="lab") == site_map(config)


def test_real_hosts_show_overlaps_that_samples_miss(tmp_path: Path) -> None:
    """With the names of the site nothing is left to guess."""
    config = config_of(tmp_path, gpuPciAddrs={"^g(?=.*7)": ["a"], "^g0[0-9]$": ["b"]})

    assert not any("as does" in warning for warning in config.warnings)
    assert () == host_overlaps(config, ["g01", "x07"])
    (warning,) = host_overlaps(config, ["g01", "g07"])
    assert warning.startswith('gpuPciAddrs."^g0[0-9]$": matches g07, as does "^g(?=.*7)"')


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("^gpu0[0-9]$", ("gpu00",)),
        (r"^n\d{3}\.x$", ("n000.x",)),
        ("^(?:a|bc)+1?$", ("a1", "bc1")),
        ("a|b", ("a", "b")),
        ("^g.*$", ("g0",)),
        ("^[^a0]$", ("-",)),
        ("^g[^a]$", ("g0",)),
        ("^g[^0-]$", ("ga",)),
        ("^g[^0a-]$", ()),
        (r"^g[\d_]$", ("g0",)),
        (r"^g[\.]$", ("g.",)),
        ("^g(?=.*7)", ()),
        ("^(a[0-9])$", ()),
        ("^g\n$", ()),
        ("", ()),
    ],
)
def test_samples_are_names_that_the_pattern_matches(pattern: str, names: tuple[str, ...]) -> None:
    """Of patterns beyond the reader there are none."""
    assert names == sample_names(pattern)


@given(st.from_regex(r"\^?[a-c0-2]{0,3}(\[[0-5]-[5-9]\])?[.*+?\\d|()]{0,4}\$?", fullmatch=True))
def test_samples_never_lie(pattern: str) -> None:
    """Whatever the pattern, a sample is matched by it."""
    try:
        compiled = re.compile(pattern)
    except re.error:
        return

    assert all(compiled.search(name) for name in sample_names(pattern))


def test_overlaps_name_the_first_pattern_and_a_host() -> None:
    """Two patterns that share no name are not mentioned."""
    found = list(overlaps(["^gpu0[0-9]$", "^gpu1[0-9]$", "gpu", "^acc$"]))

    assert [("^gpu0[0-9]$", "gpu", "gpu00"), ("^gpu1[0-9]$", "gpu", "gpu10")] == found


@pytest.mark.parametrize(
    ("pattern", "anchored"), [("^a$", True), (r"\Aa\Z", True), ("^a", False), ("a$", False)]
)
def test_anchors_are_seen(pattern: str, anchored: bool) -> None:  # noqa: FBT001 - a column of the table
    """Both ends count."""
    assert anchored == is_anchored(pattern)


def _state(directory: Path) -> dict[str, str]:
    return {"state_directory": f"{directory}/state"}


def _addresses(table: Any) -> dict[int, str]:
    return dict(table.addresses)
