"""The schema of the configuration: name, default and valid values of every key.

The dataclasses are the schema: a field is a key of the same name unless it sets another one. Names
in the predecessor's or the adapter's spelling keep it in the file (`cc-backend`, `gpuPciAddrs`).
"""

# ruff: noqa: RUF009 - a field that carries its reader is made by a call; the defaults are immutable

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spool.config.nats_readers import broker_urls, nats_subject
from spool.config.readers import (
    Reader,
    absolute_path,
    base_url,
    boolean,
    choice,
    device_index,
    flag,
    host_pattern,
    integer,
    list_of,
    map_of,
    number,
    optional,
    pattern,
    printable,
    replacements,
    secret_pattern,
    set_of,
    text,
    token,
    zero_or,
)
from spool.installation import SETTINGS, SPOOL, STATE

DAY_SECONDS = 86400
TOKEN_FILE = SETTINGS / "token"


def _key(
    reader: Reader[Any],
    default: Any = MISSING,
    *,
    name: str | None = None,
    factory: Callable[[], Any] | None = None,
    shown: bool = True,
) -> Any:
    """Make a field that is a key; without default it must be in the file."""
    metadata = {"reader": reader, "name": name}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata, repr=shown)
    return field(default=default, metadata=metadata, repr=shown)


def _section(of: type[Any], *, name: str | None = None, required: bool = False) -> Any:
    """Return a field for an object with keys of its own."""
    metadata = {"section": of, "name": name}
    if required:
        return field(metadata=metadata)
    return field(default_factory=of, metadata=metadata)


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmKeys:
    """The keys of section `slurm`: paths of Slurm's commands and files."""

    squeue: Path = _key(absolute_path, Path("/usr/bin/squeue"))
    sacct: Path = _key(absolute_path, Path("/usr/bin/sacct"))
    scontrol: Path = _key(absolute_path, Path("/usr/bin/scontrol"))
    sacctmgr: Path = _key(absolute_path, Path("/usr/bin/sacctmgr"))
    conf: Path | None = _key(optional(absolute_path), None)
    state_save_location: Path | None = _key(optional(absolute_path), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendKeys:
    """The keys of section `cc-backend`. `token_file` is None if only `apikey` is set."""

    host: str = _key(base_url)
    token_file: Path | None = _key(optional(absolute_path), TOKEN_FILE)
    apikey: str | None = _key(optional(token), None, shown=False)
    ca_file: Path | None = _key(optional(absolute_path), None)
    proxy: str | None = _key(optional(base_url), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolKeys:
    """The keys of section `spool`: directories, and how much is kept."""

    directory: Path = _key(absolute_path, SPOOL)
    state_directory: Path = _key(absolute_path, STATE)
    min_free_bytes: int = _key(integer(0, 2**50, "bytes"), 2**30)
    keep_delivered_days: float = _key(number(0, 3650, "days"), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainKeys:
    """The keys of section `drain`: how runs are delivered. `requeue` is `replace` or `keep`."""

    stop_hold_seconds: float = _key(number(0, DAY_SECONDS, "seconds"), 180)
    requeue: str = _key(choice("replace", "keep"), "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepKeys:
    """The keys of section `sweep`. `close_unknown_after` is seconds, None for never."""

    grace_seconds: float = _key(number(0, DAY_SECONDS, "seconds"), 600)
    close_unknown_after: float | None = _key(
        optional(number(60, 3650 * DAY_SECONDS, "seconds")), None
    )
    require_force: bool = _key(boolean, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesKeys:
    """The keys of section `nodes`: how often node states are reported; 0: never."""

    interval_seconds: int = _key(zero_or(integer(60, 3600, "seconds")), 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsKeys:
    """The keys of section `nats`: the brokers, and what is published there; no servers: nothing.

    `mode`: `transport` for a server that takes jobs by NATS alone, `notify` to announce to other
    programs what cc-backend accepted by REST.
    """

    servers: tuple[str, ...] = _key(broker_urls, ())
    mode: str = _key(choice("transport", "notify"), "notify")
    subject: str | None = _key(optional(nats_subject), None)
    user: str | None = _key(optional(text), None)
    password_file: Path | None = _key(optional(absolute_path), None)
    creds_file: Path | None = _key(optional(absolute_path), None)
    ca_file: Path | None = _key(optional(absolute_path), None)
    cert_file: Path | None = _key(optional(absolute_path), None)
    key_file: Path | None = _key(optional(absolute_path), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesKeys:
    """Names to report: only those in `allow` if it is set, never those in `deny`."""

    allow: frozenset[str] = _key(set_of(text), frozenset())
    deny: frozenset[str] = _key(set_of(text), frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterKeys:
    """The keys of section `filters`: which jobs are reported."""

    clusters: NamesKeys = _section(NamesKeys)
    partitions: NamesKeys = _section(NamesKeys)
    accounts: NamesKeys = _section(NamesKeys)
    users: NamesKeys = _section(NamesKeys)
    qos: NamesKeys = _section(NamesKeys)
    opt_out_flag: str = _key(flag, "disable_cc_submission")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataKeys:
    """The keys of section `metadata`: which texts of a job are sent, and how much of them.

    `user_from_uid_after_seconds`: how long a start waits for the name of its user before the number
    is sent instead; None: no limit.
    """

    job_script: bool = _key(boolean, default=True)
    slurm_info: bool = _key(boolean, default=True)
    end_summary: bool = _key(boolean, default=True)
    withheld_partitions: frozenset[str] = _key(set_of(text), frozenset())
    withheld_accounts: frozenset[str] = _key(set_of(text), frozenset())
    opt_out_flag: str = _key(flag, "disable_cc_metadata")
    secret_patterns: tuple[re.Pattern[str], ...] = _key(list_of(secret_pattern), ())
    job_name_bytes: int = _key(integer(1, 10**4, "bytes"), 1_000)
    job_script_bytes: int = _key(integer(1, 4 * 2**20, "bytes"), 64_000)
    slurm_info_bytes: int = _key(integer(1, 10**6, "bytes"), 16_000)
    other_bytes: int = _key(integer(1, 10**4, "bytes"), 1_000)
    total_bytes: int = _key(integer(1, 10**6, "bytes"), 100_000)
    user_from_uid_after_seconds: float | None = _key(
        optional(number(0, 3650 * DAY_SECONDS, "seconds")), None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration without problems. `path` and `warnings` are not keys of the file."""

    clustername: str = _key(text)
    slurm: SlurmKeys = _section(SlurmKeys)
    cc_backend: BackendKeys = _section(BackendKeys, name="cc-backend", required=True)
    allow_plain_http: bool = _key(boolean, default=False)
    accelerators: Mapping[str, Mapping[str, str]] = _key(
        map_of(map_of(text, keys=device_index)), factory=_empty
    )
    gpu_pci_addrs: Mapping[str, tuple[str, ...]] = _key(
        map_of(list_of(text), keys=pattern), name="gpuPciAddrs", factory=_empty
    )
    accelerator_kinds: tuple[str, ...] = _key(list_of(text), ("gpu",))
    assume_core_ids: bool = _key(boolean, default=False, name="assumeCoreIds")
    topology_files: tuple[Path, ...] = _key(list_of(absolute_path), ())
    host_map: tuple[tuple[re.Pattern[str], str], ...] = _key(replacements, ())
    partition_clusters: Mapping[str, str] = _key(map_of(text, keys=text), factory=_empty)
    ignore_hosts: re.Pattern[str] | None = _key(optional(host_pattern), None, name="ignoreHosts")
    node_regex: str | None = _key(optional(printable), None)
    spool: SpoolKeys = _section(SpoolKeys)
    drain: DrainKeys = _section(DrainKeys)
    sweep: SweepKeys = _section(SweepKeys)
    nodes: NodesKeys = _section(NodesKeys)
    nats: NatsKeys = _section(NatsKeys)
    filters: FilterKeys = _section(FilterKeys)
    metadata: MetadataKeys = _section(MetadataKeys)
    path: Path = Path()
    warnings: tuple[str, ...] = ()
