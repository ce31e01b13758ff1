"""A site on a machine, with a configuration, a server on loopback, and Slurm's own units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from free_port import free_port
from slurm_lab import wait_until
from stub_server import Model, StubServer

from package_lab.machine import Machine

TOKEN = "TOKEN:api"
HOOKS = "/etc/slurm/cc-slurm-sync"
SPOOL = "/var/spool/cc-slurm-sync"
STATES = ("new", "todo", "open", "dead")
TOPOLOGY = {"node": [0, 1], "socket": [[0, 1]], "core": [[0], [1]]}
CLUSTERS = [{"name": "lab", "subClusters": [{"name": "cpu", "nodes": "n1", "topology": TOPOLOGY}]}]
SLURM_CONF = """\
ClusterName=lab
SlurmctldHost={name}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=slurm
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/lib/slurm/ctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
MpiDefault=none
ProctrackType=proctrack/linuxproc
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName=n1 NodeHostname={name} NodeAddr=127.0.0.1 Port={node} CPUs=2 State=UNKNOWN
PartitionName=cpu Nodes=n1 Default=YES MaxTime=INFINITE State=UP
"""
HOOK_LINES = f"""\
PrologSlurmctld={HOOKS}/prolog_slurmctld
EpilogSlurmctld={HOOKS}/epilog_slurmctld
"""


class Site(Machine):
    """A system with a server to which it reports its jobs."""

    def __init__(self, layers: Sequence[Path]) -> None:
        self.server = StubServer(Model(version="1.4.4", token=TOKEN, clusters=CLUSTERS))
        self.server.__enter__()
        try:
            super().__init__(*layers)
        except BaseException:
            self.server.close()
            raise

    def close(self) -> None:
        """Stop the system and the server."""
        super().close()
        self.server.close()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Close the server during the block; start it again on the same port."""
        model, port = self.server.model, int(self.server.url.rpartition(":")[2])
        self.server.close()
        try:
            yield
        finally:
            self.server = StubServer(model, port)
            self.server.__enter__()

    def configure(self, **more: Any) -> None:
        """Write the configuration and the token as an administrator does."""
        document = {
            "clustername": "lab",
            "cc-backend": {"host": self.server.url},
            "metadata": {"job_script": False},
        } | more
        text = json.dumps(document)
        settings = "/etc/cc-slurm-sync"
        owner = "root:cc-slurm-sync"
        self.write(f"{settings}/config.json", text, mode=0o640, owner=owner)
        self.write(f"{settings}/token", f"{TOKEN}\n", mode=0o640, owner=owner)

    def start_slurm(self, *, hooks: bool = True) -> None:
        """Start a cluster of one node by Slurm's units, with our hooks; wait until it is idle."""
        ports = {"controller": free_port(), "node": free_port()}
        text = SLURM_CONF.format(name=self.name, **ports) + (HOOK_LINES if hooks else "")
        self.write("/etc/slurm/slurm.conf", text)
        plugin = "cgroup/v1" if " 22.05" in self.run("slurmctld -V") else "disabled"
        self.write("/etc/slurm/cgroup.conf", f"CgroupPlugin={plugin}\n")
        self.run("install -d -o slurm -g slurm /var/lib/slurm /var/lib/slurm/ctld")
        self.run("systemctl start munge slurmctld slurmd")
        wait_until(lambda: "idle" in self.run("sinfo -h -o %t", check=False), "an idle node")

    def start_service(self) -> None:
        """Enable and start the drain."""
        self.run("systemctl enable --now cc-spool.service")

    def submit(self, command: str = "true") -> int:
        """Submit a job; return its id."""
        return int(self.run(f"sbatch --parsable -o /dev/null --wrap '{command}'"))

    def job_state(self, job: int) -> str | None:
        """Return the state of a job at the server."""
        model = self.server.model
        rows = [*model.job.values(), *model.cache.values()]
        return next((r["jobState"] for r in reversed(rows) if r["jobId"] == job), None)

    def wait(self, job: int, state: str) -> None:
        """Wait until the server shows a job in a state."""
        wait_until(lambda: self.job_state(job) == state, f"job {job} to be {state}")

    def spool(self, *states: str) -> list[str]:
        """Return the names of the files in some directories of the spool."""
        paths = [self.file(f"{SPOOL}/{state}") for state in states or STATES]
        return sorted(path.name for top in paths for path in top.iterdir())
