"""Translate Slurm's GRES indices to the accelerator addresses that cc-backend compares exactly.

Two configuration forms are accepted: host name prefix -> {index: address}, the predecessor's, and
host name pattern -> list of addresses. The pattern form is searched first. Addresses are never
guessed; where the server knows the same device under another spelling, its spelling is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ccbackend.facts import GresFacts, NodeFacts
from ccbackend.topology import Cluster

SHARES = ("shard", "mps")  # shares of a gpu; their count is not one of devices
# The predecessor read addresses of these kinds, and knew no key for others.
_PREDECESSORS_KINDS = ("gpu", "fpga")
_PCI = re.compile(
    r"(?:([0-9a-f]{4}|[0-9a-f]{8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class AddressTable:
    """The accelerator addresses of one type of host; `label` is its host name prefix or pattern."""

    label: str
    addresses: Mapping[int, str]
    is_predecessors: bool = False

    def counts(self, kind: str) -> bool:
        """Return whether a GRES kind not configured as an accelerator has addresses in this table.

        Only in the predecessor's form, which has no key for kinds: `gpu` and `fpga` count as there,
        and every kind whose name is part of the prefix (`vpu` in `n2vpu`).
        """
        named = bool(kind) and kind.casefold() in self.label.casefold()
        return self.is_predecessors and (named or kind in _PREDECESSORS_KINDS)


@dataclass(frozen=True, slots=True)
class AcceleratorMap:
    """All addresses the site has configured, and which GRES names are accelerators."""

    patterns: tuple[tuple[re.Pattern[str], AddressTable], ...] = ()
    prefixes: tuple[AddressTable, ...] = ()
    kinds: tuple[str, ...] = ("gpu",)

    def table(self, host: str) -> AddressTable | None:
        """Return the addresses of a host: first matching pattern, else longest matching prefix.

        A name with dots is tried in full, then cut at its first dot.
        """
        for name in dict.fromkeys((host, host.split(".", 1)[0])):
            for pattern, table in self.patterns:
                if pattern.search(name):
                    return table
        fitting = [table for table in self.prefixes if host.startswith(table.label)]
        return max(fitting, key=lambda table: len(table.label), default=None)

    def accelerator_kinds(self, host: str, names: Iterable[str]) -> set[str]:
        """Return the names of accelerators among the names of a host's GRES."""
        given = set(names)
        found = given & {*self.kinds, *(SHARES if "gpu" in self.kinds else ())}
        table = None if found else self.table(host)
        return found if table is None else {name for name in given if table.counts(name)}


@dataclass(frozen=True, slots=True)
class NodeAccelerators:
    """Accelerators of one node: addresses in index order, number allocated, warnings."""

    addresses: tuple[str, ...] = ()
    allocated: int = 0
    problems: tuple[str, ...] = ()


def accelerator_map(
    accelerators: Mapping[str, Mapping[str, str]],
    patterns: Mapping[str, Sequence[str]],
    kinds: Sequence[str] = ("gpu",),
) -> AcceleratorMap:
    """Build the map from both configuration forms.

    Args:
        accelerators: `{"n2gpu": {"0": "00000000:03:00.0"}}`, prefix and decimal index.
        patterns: `{"^gpu0[0-9]$": ["00000000:03:00.0"]}`, searched in file order.
        kinds: GRES names that are accelerators.

    Raises:
        ValueError: an index is no decimal number.
        re.error: a pattern is none.
    """
    return AcceleratorMap(
        tuple(
            (re.compile(text), AddressTable(text, dict(enumerate(map(normal_address, addresses)))))
            for text, addresses in patterns.items()
        ),
        tuple(
            AddressTable(
                prefix,
                {int(i): normal_address(a) for i, a in addresses.items()},
                is_predecessors=True,
            )
            for prefix, addresses in accelerators.items()
        ),
        tuple(kinds),
    )


def hosts_like(host: str) -> str:
    """Return one text for all hosts that differ only in numbers, so that a warning comes once."""
    kind = re.sub(r"\d+", "N", host)
    return f"hosts named {kind} (N: a number)"


def normal_address(address: str) -> str:
    """Return a PCI address as NVML writes it (8-digit domain, upper case); other text unchanged."""
    found = _PCI.fullmatch(address)
    if found is None:
        return address
    domain, bus, device, function = found.groups()
    return f"{(domain or '').rjust(8, '0')}:{bus}:{device}.{function}".upper()


def device_key(address: str) -> str:
    """Return a key equal for all spellings of one device: short or long PCI form, any case."""
    return normal_address(address).casefold()


def accelerators_of(
    node: NodeFacts, site: AcceleratorMap, server_ids: Iterable[str] = ()
) -> NodeAccelerators:
    """Return the addresses and the number of the accelerators that a job holds on a node.

    An index without address is skipped with a warning. A cut or missing index list counts as
    unknown: its devices are counted, but get no address.

    `server_ids` are the accelerators of the host as the server spells them.
    """
    held = node.gres or ()
    kinds = site.accelerator_kinds(node.name, (gres.name for gres in held))
    pieces = [gres for gres in held if gres.name in kinds]
    known = [_indices(gres) for gres in pieces]
    indices = sorted({index for some in known if some is not None for index in some})
    unindexed = sum(
        _devices(gres) for gres, some in zip(pieces, known, strict=True) if some is None
    )
    allocated = len(indices) + unindexed
    problems = (
        [f"accelerators whose device index Slurm does not show: {unindexed}"] if unindexed else []
    )
    if not indices:
        return NodeAccelerators((), allocated, tuple(problems))
    table = site.table(node.name)
    if table is None:
        problems.append(f"gpuPciAddrs has no addresses for {hosts_like(node.name)}")
        return NodeAccelerators((), allocated, tuple(problems))
    problems += [
        f"gpuPciAddrs has no address for device {index} of hosts {table.label}"
        for index in indices
        if index not in table.addresses
    ]
    named = (table.addresses[index] for index in indices if index in table.addresses)
    spelled = {device_key(one): one for one in server_ids}
    addresses = tuple(spelled.get(device_key(one), one) for one in named)
    return NodeAccelerators(addresses, allocated, tuple(problems))


def map_problems(
    site: AcceleratorMap, nodes: Mapping[str, str], cluster: Cluster
) -> tuple[str, ...]:
    """Return what is wrong with the configured addresses; equal findings once.

    Args:
        site: the configured addresses.
        nodes: Slurm's names of the nodes that have accelerators, and their names at the server.
        cluster: the server's view of them; hosts without topology there are passed over.
    """
    found = [
        f"pattern {table.label} also matches a part of a host name; write ^...$ to match only"
        " whole names"
        for _, table in site.patterns
        if not (table.label.startswith("^") and table.label.endswith("$"))
    ]
    for node, host in nodes.items():
        fitting = [table.label for pattern, table in site.patterns if pattern.search(node)]
        if len(fitting) > 1:
            found.append(f"patterns {' and '.join(fitting)} match the same host; the first is used")
        subcluster = cluster.subcluster(host)
        if subcluster is not None and subcluster.topology is not None:
            found += _differences(site, node, subcluster.topology.accelerators)
    return tuple(dict.fromkeys(found))


def _differences(site: AcceleratorMap, node: str, server_ids: Iterable[str]) -> list[str]:
    """Return warnings about devices that only the configuration or only cluster.json has."""
    table = site.table(node)
    known = {device_key(one): one for one in server_ids}
    if table is None:
        return [f"gpuPciAddrs has no addresses for {hosts_like(node)}"] if known else []
    ours = {device_key(one): one for one in table.addresses.values()}
    return [
        *(
            f"accelerator {ours[one]} of hosts {table.label} is not in cc-backend's cluster.json"
            for one in sorted(ours.keys() - known)
        ),
        *(
            f"accelerator {known[one]} of {hosts_like(node)} is in cc-backend's cluster.json, but"
            " not in the configuration"
            for one in sorted(known.keys() - ours)
        ),
    ]


def _indices(gres: GresFacts) -> tuple[int, ...] | None:
    """Return the device indices of a GRES; None if unknown or cut (Slurm cuts long lists)."""
    if gres.indices is None or (gres.name not in SHARES and len(gres.indices) < gres.count):
        return None
    return gres.indices


def _devices(gres: GresFacts) -> int:
    """Return the minimum number of devices of a GRES without indices; its shares count as one."""
    return min(gres.count, 1) if gres.name in SHARES else gres.count
