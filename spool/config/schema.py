"""The schema of the configuration: name, default, valid values and meaning of every key.

The dataclasses are the schema: a field is a key of the same name unless it sets another one. Names
in the predecessor's or the adapter's spelling keep it in the file (`cc-backend`, `gpuPciAddrs`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from spool.config.job_sections import FilterKeys, MetadataKeys
from spool.config.keys import key, section
from spool.config.readers import (
    absolute_path,
    boolean,
    device_index,
    host_pattern,
    list_of,
    map_of,
    optional,
    pattern,
    printable,
    replacements,
    text,
)
from spool.config.sections import (
    BackendKeys,
    DrainKeys,
    LogKeys,
    MetricsKeys,
    NatsKeys,
    NodesKeys,
    SlurmKeys,
    SpoolKeys,
    SweepKeys,
)


@light_dataclass
class Config:
    """A configuration without problems. `path` and `warnings` are not keys of the file."""

    clustername: str = key(
        text, about="name of the cluster in cc-backend; Slurm's own name may differ"
    )
    slurm: SlurmKeys = section(SlurmKeys)
    cc_backend: BackendKeys = section(BackendKeys, name="cc-backend", required=True)
    allow_plain_http: bool = key(
        boolean,
        default=False,
        about="allow `http://` to another host: everybody on the network path can read the token",
    )
    accelerators: Mapping[str, Mapping[str, str]] = key(
        map_of(map_of(text, keys=device_index)),
        factory=dict,
        about="PCI addresses of the accelerators by host name prefix and Slurm's device index, "
        "see below",
    )
    gpu_pci_addrs: Mapping[str, tuple[str, ...]] = key(
        map_of(list_of(text), keys=pattern),
        name="gpuPciAddrs",
        factory=dict,
        about="PCI addresses of the accelerators by a pattern of the host name, see below",
    )
    accelerator_kinds: tuple[str, ...] = key(
        list_of(text),
        ("gpu",),
        about="names of the GRES that are accelerators; leave out shard and mps: they are shares of"
        " a gpu",
    )
    assume_core_ids: bool = key(
        boolean,
        default=False,
        name="assumeCoreIds",
        about="whether Slurm's core numbers are sent as hardware threads for nodes whose topology "
        "is not known; correct only on nodes without SMT",
    )
    topology_files: tuple[Path, ...] = key(
        list_of(absolute_path),
        (),
        about="copies of cc-backend's cluster.json files; only for cc-backend before 1.3, since "
        "later versions are asked for their topology; after editing one, type "
        "`systemctl reload cc-spool`",
    )
    host_map: tuple[tuple[re.Pattern[str], str], ...] = key(
        replacements,
        (),
        about='how node names become host names in cc-backend: `{"PATTERN": "REPLACEMENT"}`. The '
        "first pattern in the file that matches the full node name is used: what it matches is "
        "replaced, and `\\\\1` is its first group. If none matches, the short name is used",
    )
    partition_clusters: Mapping[str, str] = key(
        map_of(text, keys=text),
        factory=dict,
        about='partitions that cc-backend has as separate clusters: `{"PARTITION": "CLUSTER"}`',
    )
    ignore_hosts: re.Pattern[str] | None = key(
        optional(host_pattern),
        None,
        name="ignoreHosts",
        about="pattern of host names; a job that runs only on such hosts is not reported",
    )
    node_regex: str | None = key(
        optional(printable), None, about="has no effect; accepted because older files contain it"
    )
    spool: SpoolKeys = section(SpoolKeys)
    drain: DrainKeys = section(DrainKeys)
    sweep: SweepKeys = section(SweepKeys)
    nodes: NodesKeys = section(NodesKeys)
    nats: NatsKeys = section(NatsKeys)
    metrics: MetricsKeys = section(MetricsKeys)
    log: LogKeys = section(LogKeys)
    filters: FilterKeys = section(FilterKeys)
    metadata: MetadataKeys = section(MetadataKeys)
    path: Path = Path()
    stamp: tuple[int, int] | None = None
    """`file_stamp` of the file, taken before the file was read."""
    warnings: tuple[str, ...] = ()
