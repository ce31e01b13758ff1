"""Draft a cluster.json of cc-backend from the nodes as Slurm knows them.

Slurm knows sockets, cores and threads, but neither their numbers in the operating system nor what
a processor can do: placeholders stand for that, and a note says what must be filled in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ccbackend.site_map import SiteMap
from slurm.decode.scontrol_nodes import Node
from slurm.light_dataclass import light_dataclass
from spool.formatting import pluralize

TO_FILL_IN = "TO BE FILLED IN"
PLACEHOLDER = 1.0  # cc-backend draws with a logarithm of the rates: 0 would break the plot
_RATES = {
    "flopRateScalar": ("F/s", "G"),
    "flopRateSimd": ("F/s", "G"),
    "memoryBandwidth": ("B/s", "G"),
}
_NUMBERS = re.compile(r"\[([0-9,\s]+)\]")
_LAST_NUMBER = re.compile(r"(.*?)([0-9]{1,9})((?!-)[^0-9]*)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_MAKERS = ((r"mi\d|gfx|radeon", "AMD GPU"), (r"pvc|max|ponte|arc", "Intel GPU"))


@light_dataclass
class DraftedCluster:
    """A draft, and what an administrator must fill in or check."""

    document: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Hardware:
    """The hardware that the nodes of a subcluster share; `devices`: kind, type and number."""

    sockets: int
    cores: int
    threads: int
    arch: str
    devices: tuple[tuple[str, str, int], ...]
    addresses: tuple[str, ...] | None


def cluster_text(document: dict[str, Any]) -> str:
    """Return the document as JSON that people can edit: lists of numbers on one line."""
    text = json.dumps(document, indent=4)
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def draft_cluster(cluster: str, nodes: Sequence[Node], site: SiteMap) -> DraftedCluster:
    """Return the draft for the nodes whose partitions belong to a cluster at cc-backend."""
    notes: list[str] = []
    own = [node for node in nodes if cluster in map(site.cluster_of, node.partitions)]
    kinds: dict[_Hardware, list[str]] = {}
    for node in own:
        kinds.setdefault(_hardware(node, site), []).append(site.host(node.name))
    subclusters = []
    names: set[str] = set()
    for hardware, hosts in kinds.items():
        name = _free_name(hardware, names)
        names.add(name)
        subclusters.append(_subcluster(name, hardware, hosts, notes))
    bad = [host for hosts in kinds.values() for host in hosts if not _HOST.fullmatch(host)]
    if bad:
        notes.append(
            f"host name {bad[0]!r} has a character that cc-backend does not accept (only letters,"
            f" digits and dashes; {pluralize(len(bad), 'such name')}): map it with host_map"
        )
    threads = [each.sockets * each.cores * each.threads for each in kinds]
    document = {
        "name": cluster,
        "metricConfig": [_cpu_load(max(threads, default=1))],
        "subClusters": subclusters,
    }
    general = (
        (
            "subClusters: replace the placeholders of processorType, flopRateScalar, flopRateSimd"
            " and memoryBandwidth, which Slurm does not know"
        ),
        (
            "topology: threads have the usual Linux order (first one thread of each core, then"
            " their second threads); compare with `lscpu -e` on one node of each kind"
        ),
        "topology: memoryDomain is the socket; correct it where a socket has several NUMA nodes",
        "metricConfig: has only cpu_load; add the metrics of your collectors",
    )
    return DraftedCluster(document=document, notes=(*general, *dict.fromkeys(notes)))


def _hardware(node: Node, site: SiteMap) -> _Hardware:
    kinds = site.accelerators.accelerator_kinds(node.name, (name for name, _, _ in node.devices))
    kinds -= {"shard", "mps"}
    devices = tuple(device for device in node.devices if device[0] in kinds)
    table = site.accelerators.table(node.name) if devices else None
    addresses = (
        None if table is None else tuple(table.addresses[i] for i in sorted(table.addresses))
    )
    return _Hardware(
        node.sockets,
        node.cores_per_socket,
        node.threads_per_core,
        node.arch,
        devices,
        addresses,
    )


def _free_name(hardware: _Hardware, taken: set[str]) -> str:
    """Return an unused name for a subcluster: `cpu`, `a100` or, if that is taken, `cpu-2`."""
    name = next((type_ or kind for kind, type_, _ in hardware.devices), "cpu")
    number = 1
    while (found := f"{name}{f'-{number}' if number > 1 else ''}") in taken:
        number += 1
    return found


def _subcluster(
    name: str, hardware: _Hardware, hosts: Iterable[str], notes: list[str]
) -> dict[str, Any]:
    topology = _topology(hardware)
    count = sum(number for _, _, number in hardware.devices)
    if count:
        topology["accelerators"] = _accelerators(name, hardware, count, notes)
    rates = {
        key: {"unit": {"base": base, "prefix": prefix}, "value": PLACEHOLDER}
        for key, (base, prefix) in _RATES.items()
    }
    return {
        "name": name,
        "nodes": fold_hosts(hosts),
        "processorType": f"{TO_FILL_IN} ({hardware.arch})" if hardware.arch else TO_FILL_IN,
        "socketsPerNode": hardware.sockets,
        "coresPerSocket": hardware.cores,
        "threadsPerCore": hardware.threads,
        **rates,
        "topology": topology,
    }


def fold_hosts(hosts: Iterable[str]) -> str:
    """Return the node list of exactly these hosts, each once: `n[001-004],g1`.

    cc-backend accepts letters, digits, dashes and ranges of one width. It fails to start if
    brackets have a single number or one above 32 bits, or a dash right behind them (1.5.4).
    """
    items: dict[tuple[str, int, str], list[str]] = {}
    for host in dict.fromkeys(hosts):
        found = _LAST_NUMBER.fullmatch(host)
        prefix, number, suffix = found.groups() if found else (host, "", "")
        items.setdefault((prefix, len(number), suffix), []).append(number)
    return ",".join(
        item
        for (prefix, _, tail), numbers in items.items()
        for item in _items(prefix, numbers, tail)
    )


def _items(prefix: str, numbers: Sequence[str], suffix: str) -> Iterator[str]:
    """Yield a node list item with all ranges, then an item for each host that is in none."""
    pairs = list(_ranges(sorted(numbers)))
    ranges = [f"{first}-{last}" for first, last in pairs if first != last]
    if ranges:
        yield f"{prefix}[{','.join(ranges)}]{suffix}"
    yield from (f"{prefix}{first}{suffix}" for first, last in pairs if first == last)


def _ranges(numbers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (first, last) of each consecutive range; all numbers have equally many digits."""
    first = last = numbers[0]
    for number in [*numbers[1:], ""]:
        if number and int(number) == int(last) + 1:
            last = number
            continue
        yield first, last
        first = last = number


def _topology(hardware: _Hardware) -> dict[str, Any]:
    """Return the threads of node, sockets and cores: thread t of core c is t x cores + c."""
    cores = hardware.sockets * hardware.cores
    socket = [
        [
            thread * cores + core
            for thread in range(hardware.threads)
            for core in range(first, first + hardware.cores)
        ]
        for first in range(0, cores, hardware.cores)
    ]
    return {
        "node": list(range(cores * hardware.threads)),
        "socket": socket,
        "memoryDomain": socket,
        "core": [[t * cores + core for t in range(hardware.threads)] for core in range(cores)],
    }


def _accelerators(
    name: str, hardware: _Hardware, count: int, notes: list[str]
) -> list[dict[str, str]] | None:
    if hardware.addresses is None:
        notes.append(
            f"{name}: accelerators is null, because gpuPciAddrs has no addresses for its hosts;"
            " make them with `cc-spool draft-gpus`"
        )
        return None
    if len(hardware.addresses) != count:
        notes.append(
            f"{name}: the configuration has addresses of"
            f" {pluralize(len(hardware.addresses), 'device')} for each host, but Slurm has {count};"
            " correct gpuPciAddrs, accelerators or gres.conf"
        )
    notes.append(f"{name}: check type and model of the accelerators")
    models = [type_ or TO_FILL_IN for _, type_, number in hardware.devices for _ in range(number)]
    models += [TO_FILL_IN] * len(hardware.addresses)
    return [
        {"id": address, "type": _maker(model), "model": model}
        for address, model in zip(hardware.addresses, models, strict=False)
    ]


def _maker(model: str) -> str:
    """Return cc-backend's type of an accelerator, such as `AMD GPU`, from Slurm's type name."""
    found = (maker for pattern, maker in _MAKERS if re.match(pattern, model, re.IGNORECASE))
    return next(found, "Nvidia GPU")


def _cpu_load(threads: int) -> dict[str, Any]:
    """Return the metric `cpu_load`, which every collector has; its limits fit the largest node."""
    return {
        "name": "cpu_load",
        "unit": {"base": ""},
        "scope": "node",
        "timestep": 60,
        "aggregation": "avg",
        "peak": threads,
        "normal": threads,
        "caution": threads / 2,
        "alert": threads / 4,
    }
