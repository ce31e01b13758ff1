"""The cluster as one object: started on entry, removed on exit."""

from __future__ import annotations

import dataclasses
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Self

from slurm_lab.daemons import Daemon
from slurm_lab.files import (
    DATABASE_PASSWORD,
    NODE_NAMES,
    USERS,
    Settings,
    lay_out,
    write_slurm_files,
)
from slurm_lab.jobs import Jobs
from slurm_lab.namespaces import Namespaces
from slurm_lab.requirements import PATH
from slurm_lab.wait import LabError, wait_until

WRAPPED = ("squeue", "sacct", "scontrol", "sinfo", "sacctmgr", "sbatch", "scancel")
SOCKET = "--socket=/run/mysqld/mysqld.sock"
# in /tmp the servers of two labs have the same process ids, so the same names for their tables
TEMPORARY = "--tmpdir=/run/mysqld"
DATABASE = [
    *("mariadbd", "--no-defaults", "--user=mysql", "--skip-networking", SOCKET),
    *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"),
    *("--innodb-buffer-pool-size=128M", "--innodb-lock-wait-timeout=900", TEMPORARY),
]
GRANT = (
    "CREATE DATABASE slurm_acct_db;"
    f"CREATE USER 'slurm'@'localhost' IDENTIFIED BY '{DATABASE_PASSWORD}';"
    "GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';"
)


class Lab:
    """A cluster of four CPU nodes and two GPU nodes with two users, alice and bob.

    Attributes:
        root: The directory of all files of the cluster; readable from outside.
        spool: Directories of a spool, `new/` writable for SlurmUser.
        conf: slurm.conf, for `SLURM_CONF` of commands outside.
        state_save_location: Where slurmctld keeps its state, batch scripts among it.
        controller, dbd: The daemons, to be stopped, started, killed, restarted.
        nodes: slurmd of each node by name.
        jobs: Submit jobs and ask for them.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Describe a cluster; nothing is started yet."""
        self.settings = settings or Settings()
        self.root = Path(tempfile.mkdtemp(prefix="slurm-lab-"))
        self.spool = self.root / "spool"
        self.conf = self.root / "etc" / "slurm" / "slurm.conf"
        self.state_save_location = self.root / "ctld"

    def __enter__(self) -> Self:
        """Start everything and return when all nodes are idle."""
        try:
            lay_out(self.root, self.settings)
            self._namespaces = Namespaces(self.root, self.settings.tree)
            self._describe()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process and remove every file."""
        self.close()

    def close(self) -> None:
        """End every process and remove every file; may be repeated."""
        if hasattr(self, "_namespaces"):
            self._namespaces.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def popen(self, *argv: str, user: str = "root") -> subprocess.Popen[str]:
        """Start a command on the cluster's host, in the user's home, with pipes to it."""
        home = self.root / "home" / user if user in USERS else self.root
        environment = {"HOME": str(home), "USER": user, "LOGNAME": user}
        uid = pwd.getpwnam(user).pw_uid if user not in USERS else USERS[user]
        return self._namespaces.popen(argv, environment=environment, uid=uid, directory=home)

    def run(
        self, *argv: str, user: str = "root", stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the cluster's host and return what it printed.

        Raises:
            LabError: With `check`, it ended with another code than 0.
        """
        with self.popen(*argv, user=user) as child:
            try:
                out, err = child.communicate(stdin, timeout=120)
            except BaseException:
                child.kill()
                raise
        if check and child.returncode != 0:
            raise LabError(f"{' '.join(argv)} ended with {child.returncode}: {out}{err}")
        return subprocess.CompletedProcess(argv, child.returncode, out, err)

    def command(self, name: str) -> Path:
        """Return the path of squeue, sacct, scontrol… of this cluster for callers outside."""
        return self.root / "bin" / name

    def configure(self, options: Mapping[str, str]) -> None:
        """Change lines of slurm.conf and reconfigure; some need `controller.restart()` too."""
        merged = {**self.settings.options, **options}
        self.settings = dataclasses.replace(self.settings, options=merged)
        write_slurm_files(self.root, self.settings)
        if self.controller.running:
            self.run("scontrol", "reconfigure")

    def set_hooks(self, prolog: Path | None, epilog: Path | None) -> None:
        """Name other programs that slurmctld runs at start and end of jobs, or none.

        Slurm 22.05 reads these lines only when it starts; its first batch job after that waits
        for about 5 s.
        """
        lines = {"PrologSlurmctld": str(prolog or ""), "EpilogSlurmctld": str(epilog or "")}
        self.configure(lines)
        self.controller.restart()

    def wait_idle(self, timeout: float = 60) -> None:
        """Return when all nodes are up and have nothing to do."""
        wait_until(self._idle, "all nodes to be idle", timeout=timeout)

    def fail_node(self, name: str) -> None:
        """Kill the slurmd of a node and set the node DOWN: its jobs end at once."""
        self.nodes[name].kill()
        self._update_node(name, "State=DOWN", "Reason=test")

    def drain_node(self, name: str) -> None:
        """Drain a node, so that it gets no more jobs."""
        self._update_node(name, "State=DRAIN", "Reason=test")

    def resume_node(self, name: str) -> None:
        """Bring a drained or dead node back and return when it is up."""
        if self.nodes[name].running:
            self._update_node(name, "State=RESUME")
        else:
            self.nodes[name].start()  # ReturnToService=2 does the rest

    def _update_node(self, name: str, *changes: str) -> None:
        self.run("scontrol", "update", f"NodeName={name}", *changes)

    def _idle(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-p", "cpu,gpu", "-o", "%t", check=False).stdout
        return states.split() == ["idle"] * len(NODE_NAMES)

    def _describe(self) -> None:
        """Define how each daemon is started, and write the commands for callers outside."""
        log = self.root / "log"
        self.jobs = Jobs(self.run)
        self._munge = Daemon(
            self._namespaces,
            ["runuser", "-u", "munge", "--", "munged", "-F", f"--key-file={self.root}/munge/key"]
            + [f"--{name}-file={self.root}/munge/{name}" for name in ("pid", "log", "seed")],
            log=log / "munged.out",
            ready=lambda: self._answers("munge", "-n"),
        )
        self._database = Daemon(
            self._namespaces,
            [*DATABASE, f"--datadir={self.root}/mysql"],
            log=log / "mariadbd.out",
            ready=lambda: self._answers("mariadb-admin", SOCKET, "ping"),
        )
        self.dbd = Daemon(
            self._namespaces,
            ["slurmdbd", "-D"],
            log=log / "slurmdbd.out",
            ready=lambda: self._answers("sacctmgr", "-n", "list", "cluster"),
        )
        self.controller = Daemon(
            self._namespaces,
            ["slurmctld", "-D"],
            log=log / "slurmctld.out",
            ready=lambda: " is UP" in self.run("scontrol", "ping", check=False).stdout,
        )
        self.nodes = {
            name: Daemon(
                self._namespaces,
                ["slurmd", "-D", "-N", name],
                log=log / f"slurmd-{name}.out",
                ready=partial(self._node_is_up, name),
            )
            for name in NODE_NAMES
        }
        for name in WRAPPED:
            path = self.command(name)
            words = f'{self._namespaces.prefix(own_pids=False)} {name} "$@"'
            # a caller may have this directory on its path: the script must not find itself inside
            path.write_text(f"#!/bin/sh\nexport PATH={PATH}\nexec {words}\n")
            path.chmod(0o755)

    def _start(self) -> None:
        self._munge.launch()
        if self.settings.accounting:
            self._start_accounting()
        self._munge.wait_ready()
        self.controller.launch()
        for node in self.nodes.values():
            node.launch()
        self.controller.wait_ready()
        self.wait_idle()

    def _start_accounting(self) -> None:
        options = ["--skip-test-db", "--auth-root-authentication-method=socket", "--user=mysql"]
        options.append(TEMPORARY)
        self.run("mariadb-install-db", f"--datadir={self.root}/mysql", *options)
        self._database.start()
        self.run("mariadb", SOCKET, "-e", GRANT)
        self._munge.wait_ready()
        self.dbd.start()
        # One load takes 1.4 s; single calls of `sacctmgr add` cost 0.5 to 1 s each in 22.05.
        self.run("sacctmgr", "-i", "load", f"file={self.root}/etc/accounts")

    def _answers(self, *argv: str) -> bool:
        return self.run(*argv, check=False).returncode == 0

    def _node_is_up(self, name: str) -> bool:
        state = self.run("sinfo", "-h", "-n", name, "-o", "%T", check=False).stdout
        return bool(state) and not any(word in state for word in ("down", "unknown", "*"))
