"""The production drain, assembled from virtual parts: nothing of it is patched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from ccbackend.accelerators import accelerator_map
from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport
from simulation.backend import CLUSTER
from simulation.jobs import ADDRESSES
from simulation.scheduler import Process, VirtualQueue, VirtualWorker
from simulation.slurm import VirtualSlurmClient
from simulation.wire import VirtualTransport
from simulation.world import ROOT, STATE, VirtualWorld
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import assemble
from spool.drain.externals import DrainSettings, Externals
from spool.drain.service import Service
from spool.files.layout import Layout

HOLD_SECONDS = 180.0
MIN_FREE_BYTES = 1 << 30


def start_drain(
    world: VirtualWorld, process: Process, queue: VirtualQueue, inputs_changed: Callable[[], bool]
) -> Service:
    """Return a drain that has loaded the virtual spool.

    Raises:
        OSError, SpoolError: the disk fails.
    """
    shared = SharedServerInfo()

    def client() -> BackendClient:
        transport = VirtualTransport(world.backend, world.scheduler, world.faults, world.say)
        return BackendClient(cast("Transport", transport), shared)

    def new_worker(
        name: str, work: Callable[[Any], Any], answers: Any, *, clock: Callable[[], float]
    ) -> VirtualWorker:
        del clock
        return VirtualWorker(name, work, answers, scheduler=world.scheduler, process=process)

    externals = Externals(
        new_watch=lambda *_: None,
        slurm=lambda: VirtualSlurmClient(world.slurm),
        backend=client,
        texts=world.slurm.ask_texts,
        inputs_changed=inputs_changed,
        clocks=world.clock.clocks(),
        sleep=world.clock.sleep,
        random=world.random.random,
        answers=queue,
        new_worker=new_worker,
        system_calls=world.disk,
    )
    settings = DrainSettings(
        state=STATE,
        hold_seconds=HOLD_SECONDS,
        replace_earlier=world.site.replaces_earlier,
        keep_days=3.0,
        min_free_bytes=MIN_FREE_BYTES,
    )
    composer = PayloadComposer(_site_map, MetadataPolicy(), JobFilters())
    layout = Layout(Path(ROOT), world.disk, flock=world.disk.flock)
    return assemble(settings, composer, externals, layout=layout)


def _site_map(clusters: Iterable[Cluster] | None) -> SiteMap:
    return SiteMap(
        cluster=CLUSTER,
        accelerators=accelerator_map({"a": {str(i): a for i, a in enumerate(ADDRESSES)}}, {}),
        clusters={cluster.name: cluster for cluster in clusters or ()},
        clusters_known=clusters is not None,
    )
