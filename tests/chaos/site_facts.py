"""The made-up site: nodes, GPUs and names, as Slurm, cc-backend and the configuration know them.

Hardware thread ids are those of machines with two threads a core: core k has threads k and k + 8.
"""

from __future__ import annotations

import base64
import json
from typing import Any

CLUSTER = "chaos"
SLURM_CLUSTER = "slurmchaos"
SOCKETS = 2
CORES_PER_SOCKET = 4
THREADS_PER_CORE = 2
CORES = SOCKETS * CORES_PER_SOCKET
CPU_NODES = tuple(f"c{number:03}" for number in range(1, 17))
GPU_NODES = tuple(f"g{number:02}" for number in range(1, 5))
NEW_NODES = ("n01", "n02")
"""Nodes that Slurm has and cc-backend learns of later."""
GPUS = ("00000000:0A:00.0", "00000000:1B:00.0", "00000000:2C:00.0", "00000000:3D:00.0")
USERS = {"ada": (5001, "math"), "bob": (5002, "physics"), "eve": (5003, "math")}


def threads_of(core: int) -> list[int]:
    """Return the hardware threads of a core, as cluster.json numbers them."""
    return [core, core + CORES]


def topology() -> dict[str, Any]:
    """Return the topology of a node as cluster.json has it."""
    first = [thread for core in range(CORES_PER_SOCKET) for thread in threads_of(core)]
    second = [thread for core in range(CORES_PER_SOCKET, CORES) for thread in threads_of(core)]
    return {
        "node": list(range(CORES * THREADS_PER_CORE)),
        "socket": [sorted(first), sorted(second)],
        "memoryDomain": [sorted(first), sorted(second)],
        "core": [threads_of(core) for core in range(CORES)],
    }


def clusters(*, with_new_nodes: bool = False) -> list[dict[str, Any]]:
    """Return the clusters of `GET /api/clusters/`."""
    with_gpus = topology() | {"accelerators": [{"id": gpu, "type": "x"} for gpu in GPUS]}
    subclusters = [
        {"name": "cpu", "nodes": "c[001-016]", "topology": topology()},
        {"name": "gpu", "nodes": "g[01-04]", "topology": with_gpus},
    ]
    if with_new_nodes:
        subclusters.append({"name": "new", "nodes": "n[01-02]", "topology": topology()})
    return [{"name": CLUSTER, "metricConfig": [], "subClusters": subclusters}]


def hosts(*, with_new_nodes: bool = False) -> dict[str, str]:
    """Return the subcluster of each host that cc-backend knows."""
    known = dict.fromkeys(CPU_NODES, "cpu") | dict.fromkeys(GPU_NODES, "gpu")
    return known | (dict.fromkeys(NEW_NODES, "new") if with_new_nodes else {})


def token(name: str = "reporter") -> str:
    """Return a token that looks like a JWT without expiry; the small server compares texts."""
    parts = ({"alg": "EdDSA", "typ": "JWT"}, {"sub": name, "roles": ["api"], "iat": 1767225600})
    words = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*words, b"c2lnbmF0dXJl"]).decode()


def configuration(root: str, commands: str, url: str) -> dict[str, Any]:
    """Return the configuration of the program, with everything below one directory."""
    names = ("squeue", "sacct", "scontrol", "sacctmgr")
    return {
        "clustername": CLUSTER,
        "cc-backend": {"host": url, "token_file": f"{root}/token"},
        "slurm": {name: f"{commands}/{name}" for name in names},
        "accelerators": {"g": {str(index): gpu for index, gpu in enumerate(GPUS)}},
        "spool": {
            "directory": f"{root}/spool",
            "state_directory": f"{root}/state",
            "min_free_bytes": 0,
            "keep_delivered_days": 0,
        },
        "drain": {"stop_hold_seconds": 3},
        "sweep": {"grace_seconds": 5},
    }
