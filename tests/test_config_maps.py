"""Maps and patterns of a configuration: their use, their anchors and their overlaps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from config_site import config_of
from hypothesis import given
from hypothesis import strategies as st

from spool.config.backend_settings import host_overlaps, job_filters, metadata_policy, site_map
from spool.config.rules import is_anchored, overlaps, sample_names


def test_maps_and_filters_of_a_site_are_used(tmp_path: Path) -> None:
    """Mapping, filters and metadata policy have the values of the configuration file."""
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


def test_missing_maps_and_filters_mean_the_defaults(tmp_path: Path) -> None:
    """Without these keys the defaults of the code apply, and end summaries are sent."""
    config = config_of(tmp_path)

    assert type(job_filters(config))() == job_filters(config)
    assert type(metadata_policy(config))(end_summary=True) == metadata_policy(config)
    assert type(site_map(config))(cluster="lab") == site_map(config)


def test_overlaps_that_samples_miss_are_found_with_real_hosts(tmp_path: Path) -> None:
    """Two patterns of gpuPciAddrs match host g07, which is not one of the derived sample names."""
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
    """Sample host names are derived from a pattern; a pattern that is too complex has none."""
    assert names == sample_names(pattern)


@given(st.from_regex(r"\^?[a-c0-2]{0,3}(\[[0-5]-[5-9]\])?[.*+?\\d|()]{0,4}\$?", fullmatch=True))
def test_every_sample_matches_its_pattern(pattern: str) -> None:
    """The patterns are random; their sample host names are derived from them."""
    try:
        compiled = re.compile(pattern)
    except re.error:
        return

    assert all(compiled.search(name) for name in sample_names(pattern))


def test_overlaps_name_the_first_pattern_and_a_host() -> None:
    """`gpu` overlaps with `^gpu0[0-9]$` at gpu00; patterns that share no name are omitted."""
    found = list(overlaps(["^gpu0[0-9]$", "^gpu1[0-9]$", "gpu", "^acc$"]))

    assert [("^gpu0[0-9]$", "gpu", "gpu00"), ("^gpu1[0-9]$", "gpu", "gpu10")] == found


@pytest.mark.parametrize(
    ("pattern", "anchored"),
    [
        *[("^a$", True), (r"\Aa\Z", True), ("^a", False), ("a$", False), ("^a|b$", False)],
        *[("^(a|b)$", True), ("^((a|b)c|d)$", True), (r"^a\|b$", True), ("^[a|b]$", True)],
        *[(r"^a\$", False), ("^a[$]", False), ("(^a|b)$", False), (r"^\(a|b$", False)],
    ],
)
def test_an_anchored_pattern_has_anchors_at_both_ends(pattern: str, *, anchored: bool) -> None:
    """An anchor at only one end is not enough."""
    assert anchored == is_anchored(pattern)


def _addresses(table: Any) -> dict[int, str]:
    return dict(table.addresses)
