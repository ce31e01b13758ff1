"""Reads runs from accounting: `sacct` with an explicit window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.fields.sharing import sharing_from_cpus
from slurm.decode.sacct_rows import (
    SACCT_FIELDS,
    SACCT_SHARING,
    new_separator,
    parse_sacct_rows,
)
from slurm.decode.scontrol_nodes import Node
from slurm.job import Job
from slurm.lookup.cluster_facts import NodeGeometries
from slurm.lookup.result import IDS_PER_CALL

WINDOW_TIMEOUT_SECONDS = 300.0
EARLIEST_SACCT_TIME = 1_000_000  # no earlier `uts` time (`src/common/parse_time.c`, all releases)
_END_STATES = "CD,F,TO,CA,NF,PR,BF,DL,OOM,RQ"  # sacct(1), 21.08 ... 26.05; RESIZING is not an end


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountingLookup:
    """Accounting of one cluster; `has_sharing`: sacct of this release prints node sharing."""

    commands: SlurmCommands
    nodes: NodeGeometries
    cluster: str
    has_sharing: bool

    def runs_of(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of some jobs between two instants.

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        wanted = sorted(set(ids))
        rows: list[Job] = []
        for first in range(0, len(wanted), IDS_PER_CALL):
            part = ",".join(map(str, wanted[first : first + IDS_PER_CALL]))
            rows += self._query(["-j", part], since, until, timeout_seconds=None)
        return tuple(rows)

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of any job that ended in a window.

        Without states sacct would also list running jobs: the complete queue at every sweep.

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        chosen = ["-a", "-s", _END_STATES]
        return self._query(chosen, since, until, timeout_seconds=WINDOW_TIMEOUT_SECONDS)

    def _query(
        self, selection: Sequence[str], since: int, until: int, *, timeout_seconds: float | None
    ) -> tuple[Job, ...]:
        separator = new_separator()
        fields = SACCT_FIELDS + (SACCT_SHARING if self.has_sharing else "")
        argv = [self.commands.sacct, "-X", "-D", "-P", "-n", f"--delimiter={separator}"]
        argv += ["-M", self.cluster]
        argv += ["-S", f"uts{max(since, EARLIEST_SACCT_TIME)}", "-E", f"uts{until}"]
        argv += ["-o", fields]
        rows = self.commands.read(
            [*argv, *selection],
            lambda stdout: parse_sacct_rows(
                stdout, fields=fields, separator=separator, cluster=self.cluster
            ),
            limit_bytes=MAX_LISTING_BYTES,
            timeout_seconds=timeout_seconds,
        )
        return self._with_sharing(rows)

    def _with_sharing(self, runs: tuple[Job, ...]) -> tuple[Job, ...]:
        """Return the runs with node sharing from their CPUs, where accounting has none."""
        if all(run.sharing is not None or not run.nodes for run in runs):
            return runs
        nodes = self.nodes.known()
        return tuple(run if run.sharing else _shared_by_cpus(run, nodes) for run in runs)


def _shared_by_cpus(run: Job, nodes: Mapping[str, Node]) -> Job:
    of_nodes = [nodes[name].cpus if name in nodes else None for name in run.nodes]
    return replace(run, sharing=sharing_from_cpus(run.cpus, of_nodes))
