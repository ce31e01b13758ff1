"""The worlds in which the examples of the documentation run, each prepared by one story.

A world is the site of `make demo`: hooks, drain and commands are the real ones, the server is a
stub, Slurm a stand-in. Outputs are shown with the paths, host and URL of an installation.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from demo_site import CLUSTERS, GPUS, REJECTION, DemoSite, StandInCluster
from stub_server import DAY_SECONDS

SERVER, RELEASE = "1.5.4", "24.11"
FILES: Mapping[str, Any] = {
    "new.json": {
        "clustername": "fritz",
        "cc-backend": {"host": "https://cc.example.org/api", "tokenfile": "/etc/token"},
    },
    "old.json": {
        "pidFilePath": "/run/cc-slurm-adapter/daemon.pid",
        "ipcSockPath": "/run/cc-slurm-adapter/daemon.sock",
        "lastRunPath": "/var/lib/cc-slurm-adapter/last_run",
        "ccPollInterval": "6h",
        "slurmMaxRetries": 10,
        "ccRestUrl": "https://cc.example.org",
        "ccRestJwt": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhcGkifQ.c2lnbmF0dXJl",
        "gpuPciAddrs": {"^n2gpu0[12]$": GPUS},
        "ignoreHosts": "^login",
    },
}
"""The files in the directory in which the commands run."""
_COMMAND = """#!{python}
import sys
from spool.config import load_checked
from spool.config.paths import check_paths
from {module}.cli import main
for function in (check_paths, load_checked):  # an installation is not in /tmp
    function.__kwdefaults__ |= {{"temporary": ()}}
sys.exit(main(["-c", "{config}", *sys.argv[1:]]))
"""


class DocStage(DemoSite):
    """The site of the demo with the paths of an installation, and a shell for the commands."""

    def __init__(
        self, root: Path, *, hooks: bool = True, clusters: Any = None, token_days: float = 90
    ) -> None:
        missing = {} if hooks else {"PrologSlurmctld": "(null)", "EpilogSlurmctld": "(null)"}
        settings = {"SlurmUser": f"{getpass.getuser()}({os.getuid()})"}
        settings |= {"SlurmctldHost": socket.gethostname(), **missing}
        self.root = root
        self.slurm = StandInCluster(root, RELEASE, settings=settings)
        super().__init__(self.slurm, root, SERVER)
        self.model.clusters = clusters or clusters_of()
        document: dict[str, Any] = json.loads(self.config.read_text())
        document["slurm"]["sacctmgr"] = str(self.slurm.command("sacctmgr"))
        del document["drain"]  # the usual wait for the server's commit
        self.config.write_text(json.dumps(document, indent=4))
        self.token(days=token_days)
        self._protect()
        for name, document in FILES.items():
            (root / "home" / name).write_text(json.dumps(document, indent=4) + "\n")
        (root / "bin").mkdir()
        for name, module in (("cc-spool", "spool"), ("cc-sweep", "sweeper")):
            command = root / "bin" / name
            places = {"python": sys.executable, "config": self.config}
            command.write_text(_COMMAND.format(module=module, **places))
            command.chmod(0o755)

    def token(self, *, days: float) -> None:
        """Replace the token by one that expires in so many days; negative: it has expired."""
        claims = {"sub": "cc-slurm-sync", "exp": int(time.time() + days * DAY_SECONDS)}
        parts = ({"alg": "EdDSA", "typ": "JWT"}, claims)
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
        token = ".".join([*(part.rstrip("=") for part in encoded), "c2lnbmF0dXJl"])
        self.model.token = token
        file = self.root / "token"
        new = file.with_name("token.new")
        new.write_text(f"{token}\n")
        new.chmod(0o640)
        new.replace(file)

    def shell(self, command: str) -> str:
        """Run a command as an administrator types it; return its output as the page shows it."""
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(  # unbuffered: in the order in which a terminal shows the lines
            ["bash", "-c", command],
            env=os.environ | {"PATH": path, "TZ": "UTC", "PYTHONUNBUFFERED": "1"},
            cwd=self.root / "home",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return self.shown(done.stdout)

    def shown(self, text: str) -> str:
        """Return an output with paths, host and accounts replaced by those of an installation."""
        user, host = getpass.getuser(), socket.gethostname()
        for here, there in (
            (self.root / "spool", "/var/spool/cc-slurm-sync"),
            (self.root / "state", "/var/lib/cc-slurm-sync"),
            (self.root / "slurm/hooks", "/etc/slurm/cc-slurm-sync"),
            (self.root / "slurm/saved", "/var/spool/slurmctld"),
            (self.root / "slurm/bin", "/usr/bin"),
            (self.root / "home", "/root"),
            (self.root, "/etc/cc-slurm-sync"),
            (self._server.url, "https://cc.example.org"),
            (
                f"{host} is a controller (SlurmctldHost: {host})",
                "ctl01 is a controller (SlurmctldHost: ctl01)",
            ),
            (f"(as {user})\n", "(as cc-slurm-sync)\n"),
            (
                f"{user} can write events, and {user} can read",
                "slurm can write events, and cc-slurm-sync can read",
            ),
        ):
            text = text.replace(str(here), str(there))
        return text

    def wait(self, what: str, is_so: Callable[[], bool], *, seconds: float = 90) -> float:
        """Wait longer than the demo does: no user watches this run."""
        return super().wait(what, is_so, seconds=seconds)

    def close_server(self) -> None:
        """Close the server, so that connections to it are refused."""
        self._server.close()

    def job(self, job_id: int, cores: Mapping[str, list[int]], **wishes: Any) -> None:
        """Start a job on some cores."""
        self.slurm.controller.start(dict(cores), job_id=job_id, **wishes)

    def _protect(self) -> None:
        """Set the file modes of an installation."""
        (self.root / "home").mkdir()
        self.root.chmod(0o755)
        self.config.chmod(0o640)
        for name in ("todo", "open", "dead", "tmp"):
            (self.cluster.spool / name).chmod(0o750)
        (self.cluster.spool / "new").chmod(0o2770)
        (self.root / "state").chmod(0o750)


def clusters_of(cpu_nodes: str = "n2cn[001-004]") -> list[dict[str, Any]]:
    """Return the clusters of the demo, with the GPUs in the topology."""
    (cluster,) = CLUSTERS
    cpu, gpu = cluster["subClusters"]
    topology = {**gpu["topology"], "accelerators": [{"id": address} for address in GPUS]}
    return [
        {**cluster, "subClusters": [{**cpu, "nodes": cpu_nodes}, {**gpu, "topology": topology}]}
    ]


@contextlib.contextmanager
def world(name: str) -> Iterator[DocStage]:
    """Yield a world in which its story has happened."""
    make, play = WORLDS[name]
    with (
        tempfile.TemporaryDirectory(prefix="cc-slurm-sync-doc-") as directory,
        make(Path(directory)) as stage,
    ):
        play(stage)
        yield stage


def _new(stage: DocStage) -> None:
    """Apply the first two sweeps, before any job runs."""
    for _ in range(2):  # the first sweep only sets the mark
        stage.run("cc-sweep", "apply")
    stage.wait("node states", lambda: "node states of" in stage.shell("cc-spool status"))


def _site(stage: DocStage) -> None:
    """Run one job, end one, reject one, and start one that no hook reports."""
    _new(stage)
    _training(stage)
    stage.job(4712, {"n2cn001": [0]}, user="bob", name="mesh")
    stage.wait("both", lambda: stage.state(4711) == stage.state(4712) == "running")
    stage.model.commit()
    stage.slurm.controller.end(4712)
    stage.refuse(4713, REJECTION)
    stage.job(4713, {"n2cn001": [1]}, user="bob", name="solver")
    stage.wait("a dead letter", lambda: bool(stage.in_spool("dead")))
    stage.wait("the end", lambda: stage.state(4712) == "completed")
    _shown(stage)
    with stage.lost_events():
        stage.job(4714, {"n2cn002": [0]}, user="alice", name="missed")


def _outage(stage: DocStage) -> None:
    """Close cc-backend while one job ends and another one starts."""
    _training(stage)
    stage.wait("the row", lambda: stage.state(4711) == "running")
    _shown(stage)
    stage.close_server()
    stage.slurm.controller.end(4711)
    stage.job(4712, {"n2cn001": [0]}, user="bob", name="mesh")
    stage.wait("both in todo/", lambda: len(stage.in_spool("todo")) == 2)
    stage.wait("a failure", lambda: "cannot connect" in stage.shell("cc-spool status"))


def _expired(stage: DocStage) -> None:
    """Start a job with an expired token and wait until deliveries are halted."""
    _training(stage)
    stage.wait("the facts", lambda: bool(stage.in_spool("todo")))
    stage.wait("a halt", lambda: "HALTED" in stage.shell("cc-spool status"))


def _host_missing(stage: DocStage) -> None:
    """Start a job on a host that is missing from the server's cluster.json."""
    stage.job(4711, {"n2cn004": [0, 1]}, user="alice", name="mesh")
    stage.wait("a reason", lambda: "unknown" in stage.shell("cc-spool list todo"))


def _hooks_off(stage: DocStage) -> None:
    """Start a job whose event is lost."""
    with stage.lost_events():
        _training(stage)


def _shown(stage: DocStage) -> None:
    """Wait until the drain's state file, written once a second, has the last delivery."""
    stage.wait("counts", lambda: "last delivery" in stage.shell("cc-spool status"))


def _training(stage: DocStage) -> None:
    wishes = {"user": "alice", "name": "training", "partition": "gpu"}
    stage.job(4711, {"n2gpu01": [0, 1]}, **wishes, gpus={"n2gpu01": [0, 1]})


WORLDS: Mapping[str, tuple[Callable[[Path], DocStage], Callable[[DocStage], None]]] = {
    "new": (DocStage, _new),
    "site": (DocStage, _site),
    "outage": (DocStage, _outage),
    "token expired": (lambda root: DocStage(root, token_days=-1 / 24), _expired),
    "host missing": (
        lambda root: DocStage(root, clusters=clusters_of("n2cn[001-003]")),
        _host_missing,
    ),
    "hooks off": (lambda root: DocStage(root, hooks=False), _hooks_off),
}
"""How each world is made, and its story: the events before the commands of a page run."""
