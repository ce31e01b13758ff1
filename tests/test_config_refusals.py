"""Values and files that are refused when the configuration is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from config_text import SMALL, refusal, refusals, written

from spool.config import load
from spool.config.read import MAX_CONFIG_BYTES
from spool.errors import CcSyncError, ConfigError


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    """One error has every mistake, each with its key and what to do."""
    path = written(
        tmp_path,
        {
            "clusternme": "lab",
            "slurm": {"squeue": "squeue"},
            "cc-backend": {"host": "https://cc.example.org/api/"},
            "metadata": {"job_script": "yes"},
            "drain": {"stop_hold_seconds": -1},
        },
    )

    with pytest.raises(CcSyncError) as caught:
        load(path)

    wrong_type = "expected true or false, got a string; write true or false, without quotes"
    assert [
        f"{path}: 6 problems",
        "  clusternme: unknown key; did you mean clustername?",
        "  clustername: missing; add this key: it has no default",
        "  slurm.squeue: not an absolute path; write the path with a leading /",
        "  cc-backend.host: the URL has a path or ends with a slash; write https://cc.example.org",
        "  drain.stop_hold_seconds: out of range; write a number from 0 to 86400 seconds",
        f"  metadata.job_script: {wrong_type}",
    ] == str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"clustername": 5}, "clustername", "expected a string, got a number"),
        ({"clustername": ""}, "clustername", "empty"),
        ({"clustername": " lab"}, "clustername", "has a space at its beginning or end"),
        ({"clustername": "la\x1bb"}, "clustername", "control characters"),
        ({"clustername": "la\ud800b"}, "clustername", "control characters"),
        ({"clustername": None}, "clustername", "expected a string, got null"),
        ({"slurm": []}, "slurm", "expected an object, got a list"),
        ({"slurm": None}, "slurm", "expected an object, got null"),
        ({"slurm": {"conf": "/etc/../slurm.conf"}}, "slurm.conf", "contains .."),
        ({"cc_backend": "x"}, "cc-backend", "expected an object, got a string"),
        ({"cc_backend": {}}, "cc-backend.host", "missing"),
        ({"cc_backend": {"host": True}}, "cc-backend.host", "expected a string, got true or false"),
        ({"cc_backend": {"host": "cc.example.org"}}, "cc-backend.host", "write https://"),
        ({"cc_backend": {"host": "https://[::1"}}, "cc-backend.host", "not a URL"),
        ({"cc_backend": {"host": "https://h/"}}, "cc-backend.host", "write https://h"),
        ({"cc_backend": {"host": "https://h?a=1"}}, "cc-backend.host", "write https://h"),
        ({"cc_backend": {"host": "http://h"}}, "cc-backend.host", "set allow_plain_http"),
        (
            {"cc_backend": {"host": "https://h", "token_file": None}},
            "cc-backend.token_file",
            "there is no token",
        ),
        (
            {"cc_backend": {"host": "https://h", "apikey": "<jwt token>"}},
            "cc-backend.apikey",
            "token_file",
        ),
        ({"allow_plain_http": 1}, "allow_plain_http", "expected true or false, got a number"),
        ({"accelerators": {"g": {"00": "a"}}}, "accelerators.g.00", "not a device index"),
        ({"accelerators": {"g": {"0": ""}}}, "accelerators.g.0", "empty"),
        (
            {"gpuPciAddrs": {"^a$": ["x", None]}},
            'gpuPciAddrs."^a$"[1]',
            "expected a string, got null",
        ),
        ({"gpuPciAddrs": {"^a$": "x"}}, 'gpuPciAddrs."^a$"', "expected a list, got a string"),
        ({"gpuPciAddrs": {"a(": ["x"]}}, 'gpuPciAddrs."a("', "not a regular expression"),
        (
            {"gpuPciAddrs": {"[[:alpha:]]": []}},
            'gpuPciAddrs."[[:alpha:]]"',
            "too large a repeat count",
        ),
        (
            {"ignoreHosts": "a{99999999999999999999}"},
            "ignoreHosts",
            "too large a repeat count",
        ),
        ({"ignoreHosts": 5}, "ignoreHosts", "expected a string, got a number"),
        ({"host_map": {"(": "x"}}, 'host_map."("', "not a regular expression"),
        ({"host_map": {"a": "\\1"}}, "host_map.a", "uses a group"),
        ({"host_map": {"a": "\\g<n>"}}, "host_map.a", "uses a group"),
        ({"host_map": {"a": 5}}, "host_map.a", "expected a string, got a number"),
        ({"partition_clusters": {"": "x"}}, 'partition_clusters.""', "empty"),
        ({"topology_files": ["a.json"]}, "topology_files[0]", "not an absolute path"),
        ({"node_regex": 5}, "node_regex", "expected a string, got a number"),
        ({"spool": {"min_free_bytes": 1.5}}, "spool.min_free_bytes", "not an integer"),
        ({"spool": {"min_free_bytes": -1}}, "spool.min_free_bytes", "out of range"),
        (
            {"spool": {"min_free_bytes": True}},
            "spool.min_free_bytes",
            "expected a number, got true or false",
        ),
        ({"spool": {"keep_delivered_days": 10**400}}, "spool.keep_delivered_days", "out of range"),
        ({"drain": {"requeue": "merge"}}, "drain.requeue", 'write "replace" or "keep"'),
        ({"drain": {"requeue": 1}}, "drain.requeue", 'write "replace" or "keep"'),
        ({"sweep": {"close_unknown_after": 1}}, "sweep.close_unknown_after", "out of range"),
        ({"filters": {"opt_out_flag": "a,b"}}, "filters.opt_out_flag", "contains a comma"),
        ({"filters": {"partitions": {"deny": "a"}}}, "filters.partitions.deny", "expected a list"),
        ({"metadata": {"secret_patterns": ["x*"]}}, "metadata.secret_patterns[0]", "empty string"),
        ({"spool": {"directory": "/a", "state_directory": "/a"}}, "spool.state_directory", "same"),
        (
            {"spool": {"directory": "/s/a"}, "slurm": {"state_save_location": "/s"}},
            "spool.directory",
            "inside slurm.state_save_location",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_key(
    tmp_path: Path, changes: dict[str, Any], path: str, words: str
) -> None:
    """The error names the key, such as cc-backend.host, and what is wrong or what to write."""
    found = refusal(tmp_path, **changes)

    assert [path] == list(found)
    assert words in found[path]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "not JSON at line 1 column 1: Expecting value"),
        (b'{"a": 1,\n "b" 2}', "not JSON at line 2 column 6: Expecting ':' delimiter"),
        (b"[]", "expected an object, got a list"),
        (b'{"a": NaN}', "a number is too long or the nesting too deep"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "a number is too long or the nesting too deep"),
        (b"[" * 200_000, "a number is too long or the nesting too deep"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b" " * (MAX_CONFIG_BYTES + 1), "cannot be read: more than"),
    ],
)
def test_a_file_that_is_not_a_json_object_is_refused(
    tmp_path: Path, contents: bytes, words: str
) -> None:
    """For invalid JSON the problem names line and column; a file that is too large is not read."""
    assert words in refusals(written(tmp_path, contents))["the file"]


def test_a_missing_configuration_file_is_refused(tmp_path: Path) -> None:
    """The problem says to check the file's path and permissions."""
    found = refusals(tmp_path / "none.json")

    assert (
        "cannot be read: No such file or directory; check the file's path and permissions"
        in found.values()
    )


def test_a_directory_as_configuration_file_is_refused(tmp_path: Path) -> None:
    """Only a regular file is read, so that reading cannot block."""
    assert "not a regular file" in refusals(tmp_path)["the file"]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    """Some editors write a byte order mark."""
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(SMALL).encode())

    assert "lab" == load(path).clustername


def test_http_and_a_path_are_both_refused(tmp_path: Path) -> None:
    """Both mistakes of the URL `http://h/api` are reported."""
    path = written(tmp_path, {"clustername": "a", "cc-backend": {"host": "http://h/api"}})

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert ["cc-backend.host"] * 2 == [each.path for each in caught.value.problems]


def test_a_wrong_type_of_allow_plain_http_is_reported_once(tmp_path: Path) -> None:
    """With a string for allow_plain_http, the http URL is no second problem."""
    section = {"host": "http://h"}

    found = refusal(tmp_path, cc_backend=section, allow_plain_http="true")

    assert ["allow_plain_http"] == list(found)


def test_a_refused_spool_directory_has_one_problem(tmp_path: Path) -> None:
    """The default replaces the refused value and is not compared with Slurm's directory."""
    found = refusal(tmp_path, slurm={"state_save_location": "/var/spool"}, spool={"directory": 1})

    assert ["spool.directory"] == list(found)
    assert "expected a string, got a number; write it in quotes" == found["spool.directory"]
