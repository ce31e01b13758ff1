"""From Slurm's GRES indices to the accelerator addresses that cc-backend compares literally.

Two configuration forms are accepted: host name prefix -> {index: address}, and host name pattern
-> list of addresses. The pattern form is asked first. Addresses are never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ccbackend.facts import GresFacts, NodeFacts
from ccbackend.topology import Cluster

SHARES = ("shard", "mps")  # shares of a gpu; their count is not one of devices
_PCI = re.compile(
    r"(?:([0-9a-f]{4}|[0-9a-f]{8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class AddressTable:
    """The addresses of one type of host; `label` is its prefix or pattern."""

    label: str
    addresses: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class AcceleratorMap:
    """All addresses the site has configured, and which GRES names are accelerators."""

    patterns: tuple[tuple[re.Pattern[str], AddressTable], ...] = ()
    prefixes: tuple[AddressTable, ...] = ()
    kinds: tuple[str, ...] = ("gpu",)

    def table(self, host: str) -> AddressTable | None:
        """The addresses of a host: first matching pattern, else longest matching prefix."""
        for pattern, table in self.patterns:
            if pattern.search(host):
                return table
        fitting = [table for table in self.prefixes if host.startswith(table.label)]
        return max(fitting, key=lambda table: len(table.label), default=None)


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
            AddressTable(prefix, {int(i): normal_address(a) for i, a in addresses.items()})
            for prefix, addresses in accelerators.items()
        ),
        tuple(kinds),
    )


def normal_address(address: str) -> str:
    """Write a PCI address as NVML does (8-digit domain, upper case); pass on anything else."""
    found = _PCI.fullmatch(address)
    if found is None:
        return address
    domain, bus, device, function = found.groups()
    return f"{(domain or '').rjust(8, '0')}:{bus}:{device}.{function}".upper()


def accelerators_of(node: NodeFacts, site: AcceleratorMap) -> NodeAccelerators:
    """Name the accelerators that a job holds on a node.

    An index without address is skipped with a warning. A cut or missing index list counts as
    unknown: the number is kept, nothing is named.
    """
    pieces = [gres for gres in node.gres or () if _counts(gres, site.kinds)]
    known = [_indices(gres) for gres in pieces]
    indices = sorted({index for some in known if some is not None for index in some})
    unindexed = sum(
        _devices(gres) for gres, some in zip(pieces, known, strict=True) if some is None
    )
    allocated = len(indices) + unindexed
    problems = [f"devices of {unindexed} accelerators are not known"] if unindexed else []
    if not indices:
        return NodeAccelerators((), allocated, tuple(problems))
    table = site.table(node.name)
    if table is None:
        kind = re.sub(r"\d+", "N", node.name)
        problems.append(f"no accelerator addresses for hosts like {kind}")
        return NodeAccelerators((), allocated, tuple(problems))
    problems += [
        f"no accelerator address for index {index} of hosts {table.label}"
        for index in indices
        if index not in table.addresses
    ]
    named = tuple(table.addresses[index] for index in indices if index in table.addresses)
    return NodeAccelerators(named, allocated, tuple(problems))


def map_problems(site: AcceleratorMap, hosts: Iterable[str], cluster: Cluster) -> tuple[str, ...]:
    """What a check should tell about the map; equal findings once.

    Args:
        site: the configured addresses.
        hosts: names of the nodes that have accelerators.
        cluster: the server's view of them; hosts without topology there are passed over.
    """
    found = [
        f"pattern {table.label} is searched, not anchored: write ^...$"
        for _, table in site.patterns
        if not (table.label.startswith("^") and table.label.endswith("$"))
    ]
    for host in hosts:
        fitting = [table.label for pattern, table in site.patterns if pattern.search(host)]
        if len(fitting) > 1:
            found.append(f"patterns {' and '.join(fitting)} overlap: the first one counts")
        subcluster = cluster.subcluster(host)
        if subcluster is not None and subcluster.topology is not None:
            found += _differences(site, host, set(subcluster.topology.accelerators))
    return tuple(dict.fromkeys(found))


def _differences(site: AcceleratorMap, host: str, known: set[str]) -> list[str]:
    """Addresses that only one side has; a job's metrics would be looked for in vain."""
    table = site.table(host)
    kind = re.sub(r"\d+", "N", host)
    if table is None:
        return [f"no accelerator addresses for hosts like {kind}"] if known else []
    ours = set(table.addresses.values())
    return [
        *(
            f"{one} of hosts {table.label} is not known to the server"
            for one in sorted(ours - known)
        ),
        *(f"{one} of hosts like {kind} is not configured" for one in sorted(known - ours)),
    ]


def _counts(gres: GresFacts, kinds: tuple[str, ...]) -> bool:
    return gres.name in kinds or (gres.name in SHARES and "gpu" in kinds)


def _indices(gres: GresFacts) -> tuple[int, ...] | None:
    """The devices; None if unknown or, as Slurm cuts long lists, incomplete."""
    if gres.indices is None or (gres.name not in SHARES and len(gres.indices) < gres.count):
        return None
    return gres.indices


def _devices(gres: GresFacts) -> int:
    """How many devices at least, where their indices are lost."""
    return min(gres.count, 1) if gres.name in SHARES else gres.count
