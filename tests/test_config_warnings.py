"""Settings that work but may be a mistake give a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_text import TOKEN, loaded


def test_http_to_the_loopback_address_gives_no_warning(tmp_path: Path) -> None:
    """Requests to the loopback address do not leave the host."""
    config = loaded(tmp_path, cc_backend={"host": "http://127.0.0.1:8080"})

    assert () == config.warnings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"cc_backend": {"host": "http://h"}, "allow_plain_http": True},
            "cc-backend.host: http sends the token unencrypted",
        ),
        (
            {"cc_backend": {"host": "https://h", "apikey": TOKEN, "token_file": "/t"}},
            "cc-backend.apikey: not used",
        ),
        ({"drain": {"stop_hold_seconds": 119}}, "drain.stop_hold_seconds: set 120 or more"),
        (
            {"sweep": {"close_unknown_after": 3600}},
            "sweep.close_unknown_after: set 86400 (a day) or more",
        ),
        (
            {"filters": {"accounts": {"allow": ["p", "q"], "deny": ["p"]}}},
            "filters.accounts: p is in allow and in deny",
        ),
        (
            {"filters": {"users": {"allow": ["u"], "deny": ["u"]}}},
            "filters.users: u is in allow and in deny",
        ),
        (
            {"filters": {"qos": {"allow": ["q"], "deny": ["q"]}}},
            "filters.qos: q is in allow and in deny",
        ),
        ({"filters": {"clusters": {"allow": ["x"]}}}, "filters.clusters: excludes every cluster"),
        ({"filters": {"clusters": {"deny": ["lab"]}}}, "filters.clusters: excludes every cluster"),
        ({"ignoreHosts": ".*"}, "ignoreHosts: matches every host"),
        ({"gpuPciAddrs": {"gpu": ["a"]}}, 'gpuPciAddrs."gpu": also matches longer host names'),
        (
            {"gpuPciAddrs": {"^g[0-5]$": ["a"], "^g[3-9]$": ["b"]}},
            'gpuPciAddrs."^g[3-9]$": matches g3, as does "^g[0-5]$"',
        ),
        ({"gpuPciAddrs": {"^g$": ["a", "b", "a"]}}, 'gpuPciAddrs."^g$": a occurs 2 times'),
        ({"accelerators": {"g": {"0": "a", "1": "a"}}}, "accelerators.g: a occurs 2 times"),
    ],
)
def test_a_doubtful_setting_gives_a_warning(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """The warning names the key, for example if ignoreHosts matches every host."""
    (warning,) = loaded(tmp_path, **changes).warnings

    assert warning.startswith(words)


def test_a_filter_for_the_cluster_of_a_partition_gives_no_warning(tmp_path: Path) -> None:
    """filters.clusters allows only `alex`, to which partition_clusters maps the partition a100."""
    config = loaded(
        tmp_path,
        partition_clusters={"a100": "alex"},
        filters={"clusters": {"allow": ["alex"]}},
    )

    assert () == config.warnings
