"""The configuration is read whole: every problem at once, no secret shown, nothing replaced."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from config_keys import REQUIRED, known_keys

from spool.config import Config, load
from spool.config.read import MAX_CONFIG_BYTES, closest_key
from spool.errors import CcSyncError, ConfigError

ROOT = Path(__file__).parent.parent
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJzdmMifQ.c2lnbmF0dXJl"
SMALL: dict[str, Any] = {"clustername": "lab", "cc-backend": {"host": "https://cc.example.org"}}


def written(directory: Path, contents: object, mode: int = 0o640) -> Path:
    """Write a configuration; a text or bytes as they are, anything else as JSON."""
    path = directory / "config.json"
    if isinstance(contents, str):
        contents = contents.encode()
    raw = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
    path.write_bytes(raw)
    path.chmod(mode)
    return path


def loaded(directory: Path, **changes: Any) -> Config:
    """Load the smallest configuration with some keys changed; `cc_backend` means `cc-backend`."""
    changes = {name.replace("cc_", "cc-"): value for name, value in changes.items()}
    return load(written(directory, SMALL | changes))


def refusals(path: Path) -> dict[str, str]:
    """Return all problems of a file by path."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return {each.path: f"{each.problem}; {each.hint}" for each in caught.value.problems}


def refusal(directory: Path, **changes: Any) -> dict[str, str]:
    """Return the problems of the smallest configuration with some keys changed."""
    changes = {name.replace("cc_", "cc-"): value for name, value in changes.items()}
    return refusals(written(directory, SMALL | changes))


def test_the_smallest_file_has_all_defaults(tmp_path: Path) -> None:
    """Two keys are enough; everything else has the documented default."""
    config = loaded(tmp_path)

    assert ("lab", "https://cc.example.org") == (config.clustername, config.cc_backend.host)
    assert Path("/etc/cc-slurm-sync/token") == config.cc_backend.token_file
    assert Path("/var/spool/cc-slurm-sync") == config.spool.directory
    assert (180, "replace") == (config.drain.stop_hold_seconds, config.drain.requeue)
    assert config.sweep.close_unknown_after is None
    assert ("gpu",) == config.accelerator_kinds
    assert () == config.warnings
    assert tmp_path / "config.json" == config.path


def test_the_predecessors_file_works_unchanged(tmp_path: Path) -> None:
    """Its keys mean what they meant; better ones are recommended."""
    old = {
        "clustername": "noctua2",
        "slurm": {
            "squeue": "/opt/slurm/bin/squeue",
            "sacct": "/opt/slurm/bin/sacct",
            "state_save_location": "/var/spool/SLURM/StateSaveLocation",
        },
        "cc-backend": {"host": "https://some.cc.instance", "apikey": TOKEN},
        "accelerators": {"n2gpu": {"0": "00000000:03:00.0", "10": "00000000:44:00.0"}},
        "node_regex": "^(n2(lcn|cn|fpga|gpu)[\\d{2,4}\\,\\-\\[\\]]+)+$",
    }

    config = load(written(tmp_path, old))

    assert Path("/opt/slurm/bin/squeue") == config.slurm.squeue
    assert TOKEN == config.cc_backend.apikey
    assert config.cc_backend.token_file is None
    assert {"n2gpu": {"0": "00000000:03:00.0", "10": "00000000:44:00.0"}} == config.accelerators
    assert 2 == len(config.warnings)
    assert config.warnings[0].startswith("cc-backend.apikey: a token is safer in its own file")
    assert config.warnings[1].startswith("node_regex: has no effect")


def test_every_key_arrives(tmp_path: Path) -> None:
    """Maps, patterns and lists become the plain values that the mapping takes."""
    config = loaded(
        tmp_path,
        cc_backend={
            "host": "https://[::1]:8080",
            "ca_file": "/etc/ca.pem",
            "proxy": "http://proxy:3128",
        },
        gpuPciAddrs={"^g0[0-9]$": ["00000000:03:00.0", "00000000:44:00.0"]},
        accelerator_kinds=["gpu", "fpga"],
        assumeCoreIds=True,
        topology_files=["/etc/cluster.json"],
        host_map={"^(.*)-ib$": "\\1", "x": ""},
        partition_clusters={"a100": "alex"},
        ignoreHosts="^login",
        drain={"stop_hold_seconds": 200.5, "requeue": "keep"},
        sweep={"grace_seconds": 0, "close_unknown_after": 86400, "require_force": True},
        filters={"accounts": {"allow": ["p1"], "deny": ["p2"]}, "opt_out_flag": "secret_job"},
        metadata={"job_script": False, "secret_patterns": ["ghp_[A-Za-z0-9]+"]},
    )

    assert {"^g0[0-9]$": ("00000000:03:00.0", "00000000:44:00.0")} == config.gpu_pci_addrs
    assert ("gpu", "fpga") == config.accelerator_kinds
    assert config.assume_core_ids
    assert (Path("/etc/cluster.json"),) == config.topology_files
    assert ((re.compile("^(.*)-ib$"), "\\1"), (re.compile("x"), "")) == config.host_map
    assert {"a100": "alex"} == config.partition_clusters
    assert re.compile("^login") == config.ignore_hosts
    assert (200.5, "keep") == (config.drain.stop_hold_seconds, config.drain.requeue)
    assert 86400 == config.sweep.close_unknown_after
    assert frozenset({"p2"}) == config.filters.accounts.deny
    assert (re.compile("ghp_[A-Za-z0-9]+"),) == config.metadata.secret_patterns
    assert "http://proxy:3128" == config.cc_backend.proxy
    assert () == config.warnings


def test_an_empty_ignore_hosts_ignores_none(tmp_path: Path) -> None:
    """The adapter's default, an empty text, means no pattern."""
    assert loaded(tmp_path, ignoreHosts="").ignore_hosts is None


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    """One report holds every mistake, each with its path and what to do."""
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
        "  cc-backend.host: the URL has a path or a trailing slash; write https://cc.example.org",
        "  drain.stop_hold_seconds: out of range; write a number from 0 to 86400 seconds",
        f"  metadata.job_script: {wrong_type}",
    ] == str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"clustername": 5}, "clustername", "expected a string, got a number"),
        ({"clustername": ""}, "clustername", "empty"),
        ({"clustername": " lab"}, "clustername", "begins or ends with a blank"),
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
        ({"gpuPciAddrs": {"[[:alpha:]]": []}}, 'gpuPciAddrs."[[:alpha:]]"', "nested brackets"),
        ({"ignoreHosts": "a{99999999999999999999}"}, "ignoreHosts", "too large numbers"),
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
def test_a_bad_value_is_refused_with_its_path(
    tmp_path: Path, changes: dict[str, Any], path: str, words: str
) -> None:
    """The path names the key, the text says what is wrong or what to write."""
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
def test_a_file_that_is_no_json_object_is_refused(
    tmp_path: Path, contents: bytes, words: str
) -> None:
    """One problem says where it stops being readable."""
    assert words in refusals(written(tmp_path, contents))["the file"]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that cannot be opened is a problem like any other."""
    found = refusals(tmp_path / "none.json")

    assert (
        "cannot be read: No such file or directory; check the file's path and permissions"
        in found.values()
    )


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """What is no regular file is not read, and nothing blocks."""
    assert "not a regular file" in refusals(tmp_path)["the file"]


def test_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    """Some editors write one."""
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(SMALL).encode())

    assert "lab" == load(path).clustername


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
    """In every object, with any value, and as often as the author likes."""
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


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """JSON would silently take the last one; also deep inside."""
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
def test_an_unknown_key_is_told_the_nearest_one(unknown: str, meant: str) -> None:
    """Beside it, of the same name elsewhere, or the most alike."""
    known = [*known_keys(), "slurm", "cc-backend"]

    assert meant == closest_key(unknown, known)


def test_every_unknown_key_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    """However far off it is."""
    found = refusal(tmp_path, zzz=1, telemetry={})

    assert {"zzz", "telemetry"} == set(found)
    assert all(text.startswith("unknown key; did you mean ") for text in found.values())


def test_a_readable_file_may_not_hold_the_token(tmp_path: Path) -> None:
    """With a token inside, others must not read the file, whether the token is used or not."""
    section = {"host": "https://h", "apikey": TOKEN, "token_file": "/etc/t"}
    path = written(tmp_path, SMALL | {"cc-backend": section}, mode=0o644)

    assert "other users can read this file" in refusals(path)["cc-backend.apikey"]


def test_a_file_without_token_may_be_readable(tmp_path: Path) -> None:
    """A null there is no token."""
    section = {"host": "https://h", "apikey": None}

    assert load(written(tmp_path, SMALL | {"cc-backend": section}, mode=0o644)).warnings == ()


def test_a_file_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """Who may change it decides who gets the token."""
    assert "chmod o-w" in refusals(written(tmp_path, SMALL, mode=0o646))["the file"]


@pytest.mark.parametrize(
    "contents",
    [
        {"clustername": 1, "cc-backend": {"host": "https://h", "apikey": TOKEN}},
        {"clustername": "a", "cc-backend": {"host": TOKEN, "apikey": f"{TOKEN} x"}},
        {"clustername": "a", "cc-backend": {"host": f"https://u:{TOKEN}@h", "token_file": TOKEN}},
        {"clustername": "a", "cc-backend": TOKEN},
        {"clustername": "a", "cc-backend": {"host": "https://h", "apikey": [TOKEN]}},
        f'{{"cc-backend": {{"apikey": "{TOKEN}" "x"}}}}',
    ],
)
def test_no_message_shows_the_token(tmp_path: Path, contents: object) -> None:
    """Wherever the token was written, right or wrong, no text repeats it."""
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, contents, mode=0o644))

    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(caught.value.problems)


def test_no_representation_shows_the_token(tmp_path: Path) -> None:
    """A configuration in a traceback or a log is harmless."""
    config = loaded(tmp_path, cc_backend={"host": "https://h", "apikey": TOKEN})

    assert TOKEN not in f"{config} {config!r} {config.warnings}"


def test_hostile_keys_are_escaped(tmp_path: Path) -> None:
    """What a terminal would obey is shown as its code."""
    path = written(tmp_path, SMALL | {"a\x1b[2J\n\u202e": 1, "ignoreHosts": "(?\x1b"})

    with pytest.raises(ConfigError) as caught:
        load(path)

    text = str(caught.value).replace("\n", "")
    assert text.isprintable()
    assert text.isascii()


def test_http_is_refused_beside_a_path(tmp_path: Path) -> None:
    """Both mistakes of one URL are reported."""
    path = written(tmp_path, {"clustername": "a", "cc-backend": {"host": "http://h/api"}})

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert ["cc-backend.host"] * 2 == [each.path for each in caught.value.problems]


def test_loopback_needs_no_encryption(tmp_path: Path) -> None:
    """Nobody else hears it."""
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
        ({"drain": {"stop_hold_seconds": 119}}, "drain.stop_hold_seconds: with less than 120"),
        ({"sweep": {"close_unknown_after": 3600}}, "sweep.close_unknown_after: less than a day"),
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
        ({"gpuPciAddrs": {"gpu": ["a"]}}, 'gpuPciAddrs."gpu": matches any part of a host name'),
        (
            {"gpuPciAddrs": {"^g[0-5]$": ["a"], "^g[3-9]$": ["b"]}},
            'gpuPciAddrs."^g[3-9]$": matches g3, as does "^g[0-5]$"',
        ),
        ({"gpuPciAddrs": {"^g$": ["a", "b", "a"]}}, 'gpuPciAddrs."^g$": a occurs 2 times'),
        ({"accelerators": {"g": {"0": "a", "1": "a"}}}, "accelerators.g: a occurs 2 times"),
    ],
)
def test_what_works_but_is_doubtful_is_a_warning(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """A warning is one text that names the key."""
    (warning,) = loaded(tmp_path, **changes).warnings

    assert warning.startswith(words)


def test_a_cluster_of_a_partition_may_pass_alone(tmp_path: Path) -> None:
    """A filter that leaves one of several clusters is no mistake."""
    config = loaded(
        tmp_path,
        partition_clusters={"a100": "alex"},
        filters={"clusters": {"allow": ["alex"]}},
    )

    assert () == config.warnings


def test_a_wrong_switch_is_not_told_twice(tmp_path: Path) -> None:
    """Where allow_plain_http has the wrong type nothing is said about http."""
    section = {"host": "http://h"}

    found = refusal(tmp_path, cc_backend=section, allow_plain_http="true")

    assert ["allow_plain_http"] == list(found)


def test_a_refused_directory_is_not_compared(tmp_path: Path) -> None:
    """A default that stands in for a refused value is not judged."""
    found = refusal(tmp_path, slurm={"state_save_location": "/var/spool"}, spool={"directory": 1})

    assert ["spool.directory"] == list(found)
    assert "expected a string, got a number; write it in quotes" == found["spool.directory"]


def test_example_table_and_code_have_the_same_keys() -> None:
    """Nothing is undocumented, nothing is documented that does not exist."""
    keys = set(known_keys())

    assert keys == set(_example())
    assert keys == set(_table())


def test_the_table_has_the_defaults_of_the_code() -> None:
    """What the page promises is what happens."""
    code = {
        key: "required" if value is REQUIRED else json.dumps(value)
        for key, value in known_keys().items()
    }

    assert code == _table()


def test_the_example_has_the_defaults_of_the_code() -> None:
    """But for the keys that only a site can fill in, and the two maps that show their form."""
    shown = {"accelerators", "gpuPciAddrs"}
    example = _example()

    different = {
        key
        for key, value in known_keys().items()
        if value is not REQUIRED and value != example[key]
    }

    assert shown == different


def test_the_example_shows_comments() -> None:
    """At its beginning and in sections and maps."""
    text = (ROOT / "config.json.example").read_text()

    assert text.startswith('{\n    "_": "')
    assert 5 < len(re.findall(r'^ +"[_#]', text, re.MULTILINE))


def test_the_example_is_free_of_problems_and_warnings() -> None:
    """It can be copied, and a name and a host be filled in."""
    assert () == load(ROOT / "config.json.example").warnings


def test_loading_needs_no_heavy_library() -> None:
    """Light commands load the configuration without requests, tenacity or difflib."""
    code = (
        "import sys; from pathlib import Path; from spool.config import load;"
        "load(Path('config.json.example'));"
        "heavy = {'requests', 'tenacity', 'filelock', 'difflib', 'urllib3'};"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "[]\n" == done.stdout


def _example() -> dict[str, Any]:
    """Return the keys of the example, dotted as in the table."""
    maps = {"accelerators", "gpuPciAddrs", "host_map", "partition_clusters"}
    waiting = list(json.loads((ROOT / "config.json.example").read_text()).items())
    found: dict[str, Any] = {}
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict) and name not in maps:
            waiting += [(f"{name}.{key}", member) for key, member in value.items()]
        elif not name.rpartition(".")[2].startswith(("_", "#")):
            found[name] = value
    return found


def _table() -> dict[str, str]:
    """Return the keys and defaults of the table in docs/configuration.md."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| `?([^|`]+)`? \| [^|]+ \|$", page, re.MULTILINE)
    assert len(dict(rows)) == len(rows)
    return dict(rows)
