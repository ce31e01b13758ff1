"""Convert the configuration into the plain values that ccbackend uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ccbackend.accelerators import accelerator_map
from ccbackend.job_filters import JobFilters, NameFilter
from ccbackend.metadata import MetadataPolicy
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster
from spool.config.job_sections import NamesKeys
from spool.config.paths import read_topology
from spool.config.rules import overlap_warning, overlaps
from spool.config.schema import Config
from spool.errors import ConfigError, ConfigProblem


def site_map(config: Config, clusters: Iterable[Cluster] | None = None) -> SiteMap:
    """Return how the site's names and hardware appear at cc-backend; reads the topology files.

    `clusters` are as the server describes them, which takes precedence over a file: empty if the
    server has no such call, None if it has not answered yet.

    Raises:
        ConfigError: a topology file cannot be used.
    """
    return site_maps(config)(clusters)


def site_maps(config: Config) -> Callable[[Iterable[Cluster] | None], SiteMap]:
    """Read the topology files now; return a function from the server's clusters to a site map.

    So the drain can make a new site map even if a file was removed while it runs.

    Raises:
        ConfigError: a topology file cannot be used.
    """
    from_files = tuple(_clusters_from_files(config))

    def of_clusters(clusters: Iterable[Cluster] | None) -> SiteMap:
        return SiteMap(
            cluster=config.clustername,
            partition_clusters=config.partition_clusters,
            hosts=config.host_map,
            accelerators=accelerator_map(
                config.accelerators, config.gpu_pci_addrs, config.accelerator_kinds
            ),
            clusters={cluster.name: cluster for cluster in (*from_files, *(clusters or ()))},
            clusters_known=clusters is not None,
            assume_core_ids=config.assume_core_ids,
            user_from_uid_after_seconds=config.metadata.user_from_uid_after_seconds,
        )

    return of_clusters


def job_filters(config: Config) -> JobFilters:
    """Return which jobs the site excludes."""
    return JobFilters(
        clusters=_names(config.filters.clusters),
        partitions=_names(config.filters.partitions),
        accounts=_names(config.filters.accounts),
        users=_names(config.filters.users),
        qos=_names(config.filters.qos),
        ignore_hosts=config.ignore_hosts,
        opt_out_flag=config.filters.opt_out_flag,
    )


def metadata_policy(config: Config) -> MetadataPolicy:
    """Return which texts of a job may be sent, their size limits, and the patterns of secrets."""
    keys = config.metadata
    return MetadataPolicy(
        job_script=keys.job_script,
        slurm_info=keys.slurm_info,
        end_summary=keys.end_summary,
        withheld_partitions=keys.withheld_partitions,
        withheld_accounts=keys.withheld_accounts,
        withheld_flag=keys.opt_out_flag,
        secrets=keys.secret_patterns,
        name_bytes=keys.job_name_bytes,
        script_bytes=keys.job_script_bytes,
        description_bytes=keys.slurm_info_bytes,
        other_bytes=keys.other_bytes,
        total_bytes=keys.total_bytes,
    )


def host_overlaps(config: Config, hosts: Iterable[str]) -> tuple[str, ...]:
    """Return a warning for every two patterns of `gpuPciAddrs` that match the same host."""
    found = overlaps(tuple(config.gpu_pci_addrs), hosts)
    return tuple(overlap_warning(*each) for each in found)


def _names(keys: NamesKeys) -> NameFilter:
    return NameFilter(allow=keys.allow, deny=keys.deny)


def _clusters_from_files(config: Config) -> Iterator[Cluster]:
    for position, path in enumerate(config.topology_files):
        try:
            yield from read_topology(path)
        except (OSError, ValueError, RecursionError) as error:
            hint = "set it to the path of a copy of cc-backend's cluster.json"
            problem = ConfigProblem(
                path=f"topology_files[{position}]", problem=f"{path} cannot be used", hint=hint
            )
            raise ConfigError(str(config.path), (problem,)) from error
