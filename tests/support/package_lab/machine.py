"""A Debian system with systemd as its first process, on an overlay that is removed at its end.

The shell that keeps it running reads from a pipe whose other end only the test process has. When
that end is closed, by `close` or because the test process ended, the system is killed and its files
are removed.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from slurm_lab import LabError, wait_until

CGROUPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
KEEPER = """
set -eu
work=$1 lower=$2 name=$3 cgroup=$4
mount -t tmpfs none "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" "$work/root"
echo "$name" >"$work/root/etc/hostname"
echo "127.0.0.1 localhost $name" >"$work/root/etc/hosts"
tr -d - </proc/sys/kernel/random/uuid >"$work/root/etc/machine-id" # else all units are enabled
rm -f "$work"/root/etc/systemd/system/multi-user.target.wants/slurm* # there is no slurm.conf yet
for directory in $cgroup; do
    mkdir -p "$directory/$name"
    echo $$ >"$directory/$name/cgroup.procs"
done
case $name in *-forky) export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 ;; esac # all that it knows
systemd-nspawn --quiet --directory="$work/root" --machine="$name" --register=no --keep-unit \\
    --resolv-conf=off --boot </dev/null >"$work.log" 2>&1 &
nspawn=$!
echo "$nspawn $work/root"
cat >/dev/null
for child in $(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null); do kill -KILL "$child"; done
wait "$nspawn" || true
"""


class MachineError(RuntimeError):
    """The system did not start, or a command in it failed."""


class Machine:
    """A running system, to be used as a context manager."""

    def __init__(self, *layers: Path) -> None:
        """Start a system on some layers, the uppermost directory first."""
        suite = layers[-1].name.rpartition("-")[2]
        self.name = f"ccpkg-{secrets.token_hex(4)}-{suite}"
        self._work = tempfile.mkdtemp(prefix=f"{self.name}-", dir="/var/tmp")
        self._cgroups = [path for path in CGROUPS if (Path(path) / "cgroup.procs").exists()]
        lower = ":".join(map(str, layers))
        words = ["sh", "-c", KEEPER, "sh", self._work, lower, self.name, " ".join(self._cgroups)]
        self._keeper = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def _boot(self) -> None:
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline().split()
        if not line:
            raise MachineError(f"no system can be started here: {self.log()}")
        self._root = line[1]
        self.root = Path(f"/proc/{self._keeper.pid}/root{self._root}")
        children = Path(f"/proc/{line[0]}/task/{line[0]}/children")

        def is_up() -> bool:
            self._leader = children.read_text().strip()  # the first child is a helper process
            return self._leader.isdigit() and self.system_state() in {"running", "degraded"}

        wait_until(is_up, "systemd", interval=0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print(self.run("journalctl --no-pager -n 60 -u 'cc-s*' -u 'slurm*'", check=False))
        self.close()

    def close(self) -> None:
        """Kill the system and remove its files."""
        for stream in (self._keeper.stdin, self._keeper.stdout):
            if stream is not None:
                stream.close()
        self._keeper.wait(timeout=60)
        Path(self._work).rmdir()
        Path(f"{self._work}.log").unlink(missing_ok=True)
        for top in self._cgroups:
            for path, _, _ in os.walk(f"{top}/{self.name}", topdown=False):
                Path(path).rmdir()

    def log(self) -> str:
        """Return the output of systemd-nspawn."""
        log = Path(f"{self._work}.log")
        return log.read_text() if log.exists() else ""

    def system_state(self) -> str:
        """Return the state of the whole system according to systemd."""
        return self.run("systemctl is-system-running", check=False).strip()

    def run(self, script: str, *, check: bool = True) -> str:
        """Run a shell script as root; return its output, stderr included."""
        done = self.popen(["sh", "-c", script])
        output, _ = done.communicate(timeout=180)
        if check and done.returncode != 0:
            raise MachineError(f"exit code {done.returncode}: {script}\n{output}")
        return output

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command as root."""
        enter = ["nsenter", "-t", self._leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        return subprocess.Popen(
            [*enter, "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            text=True,
        )

    def journal(self, unit: str) -> str:
        """Return the log of a unit."""
        return self.run(f"journalctl --no-pager -o cat -u {unit}")

    def rpm(self, *words: str) -> str:
        """Run the host's `rpm --root` on the files of the system; return its output."""
        enter = ["nsenter", "-t", str(self._keeper.pid), "-m", "rpm", "--root", self._root]
        done = subprocess.run([*enter, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MachineError(f"rpm {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def file(self, name: str) -> Path:
        """Return the path of a file of the system as the test process sees it."""
        return self.root / name.lstrip("/")

    def write(self, name: str, text: str, *, mode: int = 0o644, owner: str = "root:root") -> None:
        """Write a file in the system."""
        path = self.file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        self.run(f"chown {owner} {name}")

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run(f"systemctl show --value -p {name} {unit}").strip()

    def until(self, unit: str, name: str, value: str) -> None:
        """Wait until a property of a unit has a value.

        Raises:
            LabError: the property did not get the value in time.
        """
        try:
            wait_until(lambda: self.property(unit, name) == value, f"{unit} {name}={value}")
        except LabError as error:
            status = self.run(f"systemctl status -l -n 30 {unit}", check=False)
            raise LabError(f"{error}\n{status}") from None
