"""Values for tests of checks: texts as Slurm prints them, a server with scripted answers."""

from __future__ import annotations

from typing import Any

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, ClusterList, JobList, Probe
from ccbackend.topology import Cluster, clusters_of_json
from ccbackend.version import Dialect, ServerInfo, Version

NODE_21 = b"""\
NodeName=n2cn001 Arch=x86_64 CoresPerSocket=4 
   CPUAlloc=0 CPUTot=16 CPULoad=2.80
   AvailableFeatures=icelake,ib
   ActiveFeatures=icelake,ib
   Gres=(null)
   GresDrain=N/A
   GresUsed=gpu:0
   NodeAddr=ctl01 NodeHostName=ctl01 Port=17001 Version=21.08.8-2
   OS=Linux 6.1.0-lab #1 SMP PREEMPT_DYNAMIC @0 
   RealMemory=64000 AllocMem=0 FreeMem=21382 Sockets=2 Boards=1
   State=IDLE ThreadsPerCore=2 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A
   Partitions=cpu,low 
   BootTime=2026-11-22T06:02:15 SlurmdStartTime=2026-11-22T06:35:04

"""  # noqa: W291 - as printed
NODE_26 = b"""\
NodeName=n2gpu01 Arch=x86_64 CoresPerSocket=4 
   CPUAlloc=6 CPUEfctv=16 CPUTot=16 CPULoad=2.42
   AvailableFeatures=milan,a100
   ActiveFeatures=milan,a100
   Gres=gpu:a100:4(S:0-1)
   GresDrain=N/A
   GresUsed=gpu:a100:0(IDX:N/A)
   NodeAddr=ctl01 NodeHostName=ctl01 Port=17011 Version=26.05.3
   OS=Linux 6.1.0-lab #1 SMP PREEMPT_DYNAMIC @0 
   RealMemory=128000 AllocMem=0 FreeMem=20779 Sockets=2 Boards=1
   State=IDLE ThreadsPerCore=2 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A
   Partitions=gpu 
   AllocTRES=

"""  # noqa: W291 - as printed
DBD = b"""\
Configuration data as of 2026-11-25T19:15:34
PrivateData            = jobs
SlurmUserId            = slurm(64030)

SlurmDBD configuration:
AllowNoDefAcct         = No
PrivateData            = jobs,usage
PurgeEventAfter        = NONE
"""
CORES = [[0, 4], [1, 5], [2, 6], [3, 7]]
TOPOLOGY = {
    "socket": [[0, 4, 1, 5], [2, 6, 3, 7]],
    "core": CORES,
    "accelerators": [{"id": "00000000:0A:00.0"}],
}
LAB = {
    "name": "lab",
    "subClusters": [
        {"name": "cpu", "nodes": "n[1-3]", "topology": TOPOLOGY},
        {"name": "bare", "nodes": "b1"},
    ],
}


def clusters(*documents: dict[str, Any]) -> tuple[Cluster, ...]:
    """Return clusters as parsed from the server's answer."""
    return clusters_of_json({"clusters": list(documents)})


class Scripted:
    """A server that gives the answers that a test sets."""

    def __init__(self, **reasons: Reason) -> None:
        self.closed = False
        self.reasons = reasons
        self.server = ServerInfo(Version(1, 5, 4), Dialect.SHARED)
        self.known: tuple[Cluster, ...] | None = clusters(LAB)
        self.rows: tuple[BackendRow, ...] | None = ()

    def reply(self, name: str, call: ApiCall, usual: Reason) -> ApiReply:
        """Return the answer to one call."""
        verdict = ReplyVerdict(self.reasons.get(name, usual), "its words")
        return ApiReply(call=call, verdict=verdict, status=400)

    def probe(self) -> Probe:
        """Return the server's release and its answer to the REST listing."""
        return Probe(self.server, self.reply("probe", ApiCall.LISTING, Reason.LISTED))

    def check_job_api(self) -> ApiReply:
        """Answer the check of the job API."""
        return self.reply("jobs", ApiCall.JOB_API, Reason.JOB_API_ON)

    def running_jobs(self, cluster: str) -> JobList:
        """Return the running jobs, as a sweep asks for them."""
        assert cluster == "lab"
        return JobList(self.reply("running", ApiCall.GRAPHQL, Reason.LISTED), self.rows)

    def clusters(self) -> ClusterList:
        """Return the clusters."""
        return ClusterList(self.reply("clusters", ApiCall.CLUSTERS, Reason.LISTED), self.known)

    def close(self) -> None:
        """Record that the client was closed."""
        self.closed = True
