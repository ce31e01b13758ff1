"""Values of the configuration: defaults, and the result of every key."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from config_text import TOKEN, loaded, written

from spool.config import load

ROOT = Path(__file__).parent.parent


def test_the_smallest_file_has_all_defaults(tmp_path: Path) -> None:
    """A file with only clustername and cc-backend.host has the documented defaults."""
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
    """The old keys keep their meaning; warnings name apikey and node_regex."""
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


def test_values_are_loaded(tmp_path: Path) -> None:
    """Many keys have values other than the defaults; maps and patterns become Python values."""
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


def test_an_empty_ignore_hosts_ignores_no_host(tmp_path: Path) -> None:
    """An empty text, which is the default of the predecessor, means no pattern."""
    assert loaded(tmp_path, ignoreHosts="").ignore_hosts is None


def test_loading_imports_no_large_library() -> None:
    """Commands load the configuration without requests, tenacity or difflib."""
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
