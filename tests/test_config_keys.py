"""Keys of the configuration: comments, duplicate keys, unknown keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_keys import known_keys
from config_text import SMALL, refusal, refusals, written

from spool.config import load
from spool.config.read import closest_key
from spool.errors import ConfigError

COMMENTED = """
{"_": 1, "#": null, "# host": {"clustername": 5}, "_": "twice", "_clustername": [{"a": 1, "a": 2}],
 "clustername": "lab",
 "cc-backend": {"_why": "only this one", "host": "https://cc.example.org", "#apikey": "old"},
 "accelerators": {"#": "by prefix", "gpu": {"_": "PCI", "0": "00000000:03:00.0"}},
 "gpuPciAddrs": {"_": "none"},
 "host_map": {"#": "none"},
 "partition_clusters": {"_": 5, "big": "other"},
 "filters": {"partitions": {"_": "none", "deny": []}}}
"""


def test_keys_that_begin_with_underscore_or_hash_are_comments(tmp_path: Path) -> None:
    """Comment keys may be in every object, have any value and occur several times."""
    path = tmp_path / "config.json"
    path.write_text(COMMENTED)

    config = load(path)

    assert () == config.warnings
    assert ("lab", "https://cc.example.org") == (config.clustername, config.cc_backend.host)
    assert {"gpu": {"0": "00000000:03:00.0"}} == {
        k: dict(v) for k, v in config.accelerators.items()
    }
    assert {"big": "other"} == dict(config.partition_clusters)
    assert (0, 0) == (len(config.gpu_pci_addrs), len(config.host_map))


def test_a_duplicate_key_is_refused(tmp_path: Path) -> None:
    """JSON would silently use the last one; nested objects are checked too."""
    path = written(
        tmp_path,
        '{"clustername": "a", "clustername": "b", "topology_files": [{"x": 1, "x": 2}],'
        ' "cc-backend": {"host": "https://h"}, "accelerators": {"g": {"0": "a", "0": "b"}}}',
    )

    found = refusals(path)

    assert "occurs twice; remove one of them" == found["clustername"]
    assert {"accelerators.g.0", "topology_files[0].x"} < set(found)


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("clusterName", "clustername"),
        ("slrum", "slurm"),
        ("spool.min_free", "spool.min_free_bytes"),
        ("tokenfile", "cc-backend.token_file"),
        ("token_file", "cc-backend.token_file"),
        ("slurm.apikey", "cc-backend.apikey"),
        ("ccRestUrl", "cc-backend.host"),
        ("ccRestJwt", "cc-backend.token_file"),
        ("GPUPCIADDRS", "gpuPciAddrs"),
        ("drain.stop_hold", "drain.stop_hold_seconds"),
    ],
)
def test_the_suggestion_for_an_unknown_key_is_the_closest_key(unknown: str, meant: str) -> None:
    """A key of the same section, or of the same name in another one, or the most similar one."""
    known = [*known_keys(), "slurm", "cc-backend"]

    assert meant == closest_key(unknown, known)


def test_every_unknown_key_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    """A suggestion is given even if no key is similar."""
    found = refusal(tmp_path, zzz=1, telemetry={})

    assert {"zzz", "telemetry"} == set(found)
    assert all(text.startswith("unknown key; did you mean ") for text in found.values())


def test_hostile_keys_are_escaped(tmp_path: Path) -> None:
    """Characters of a key that control a terminal are replaced by their codes in the error."""
    path = written(tmp_path, SMALL | {"a\x1b[2J\n\u202e": 1, "ignoreHosts": "(?\x1b"})

    with pytest.raises(ConfigError) as caught:
        load(path)

    text = str(caught.value).replace("\n", "")
    assert text.isprintable()
    assert text.isascii()
