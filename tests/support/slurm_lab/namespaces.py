"""Namespaces in which a cluster runs, and one pipe that keeps them.

The first process of the process namespace reads from a pipe whose other end only the test process
has. When that end is closed, by `close` or by the death of the test process in any manner, it ends;
the kernel then kills every process in the namespace and drops its mounts, and a shell that waited
outside removes the files.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from slurm_lab.requirements import CONF, PATH
from slurm_lab.wait import LabError

# SIGCHLD is ignored: the kernel reaps the children that daemons leave, so `cat` need not.
KEEPER = (
    "unshare --mount --uts --net --pid --ipc --fork --kill-child --propagation private"
    ' sh "$1/init" "$1" "$2"; rm -rf --one-file-system "$1"'
)
INIT = """\
set -eu
root=$1 tree=$2
read -r pid rest </proc/self/stat # /proc is still the one outside
mount -t proc proc /proc
hostname ctl01
ip link set lo up
ip addr add 10.20.0.1/24 dev lo
mount -t tmpfs -o mode=755 tmpfs "$root/mysql"
if [ -n "$tree" ]; then
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$tree/tmp"
    mkdir -p "$tree$root"
    mount --rbind "$root" "$tree$root"
fi
mkdir -p "$tree/etc/slurm"
mount --bind "$root/etc/slurm" "$tree/etc/slurm"
mount --bind "$root/run" "$tree/run"
for file in hosts passwd group; do
    [ -e "$tree/etc/$file" ] || : >"$tree/etc/$file"
    mount --bind "$root/etc/$file" "$tree/etc/$file"
done
trap '' CHLD
exec chroot "${tree:-/}" sh -c 'echo "$1"; exec cat' sh "$pid"
"""


class Namespaces:
    """Holds one set of namespaces and runs commands inside."""

    def __init__(self, root: Path, tree: Path | None = None) -> None:
        """Use the files below `root`; they are removed when the namespaces are closed.

        With `tree` everything inside sees that directory as `/`, and `root` under its own path.
        """
        self._root = root
        (root / "init").write_text(INIT)
        self._keeper = subprocess.Popen(
            ["sh", "-c", KEEPER, "sh", str(root), str(tree or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": PATH, "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C must not end the shell that removes the files
            text=True,
        )
        assert self._keeper.stdout is not None
        answer = self._keeper.stdout.readline().strip()
        if not answer.isdigit():
            self.close()
            raise LabError("this machine does not let us make namespaces")
        self._pid = int(answer)
        self._children: list[subprocess.Popen[str]] = []

    def prefix(self, *, own_pids: bool = True, uid: int = 0, directory: Path | None = None) -> str:
        """Return the shell words that run a command inside.

        Args:
            own_pids: Enter the process namespace too, which costs one more process. Without it
                signals sent to the caller's child reach the command itself.
            uid: User and group id of the command.
            directory: Where it starts; `/` if not given.
        """
        words = f"nsenter -t {self._pid} -m -u -n -i -r{' -p' if own_pids else ''}"
        if directory is not None:
            words += f" --wdns={directory}"
        return f"{words} -S {uid} -G {uid} --" if uid else f"{words} --"

    def popen(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        uid: int = 0,
        directory: Path | None = None,
        log: Path | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command inside: with a log its output goes there, else it can be read."""
        prefix = self.prefix(uid=uid, directory=directory).split()
        with (log or Path("/dev/null")).open("a") as sink:
            child = subprocess.Popen(
                [*prefix, *argv],
                stdin=subprocess.DEVNULL if log else subprocess.PIPE,
                stdout=sink if log else subprocess.PIPE,
                stderr=sink if log else subprocess.PIPE,
                env={"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "SLURM_CONF": CONF}
                | {**(environment or {})},
                start_new_session=True,
                text=True,
            )
        self._children = [old for old in self._children if old.poll() is None]
        self._children.append(child)
        return child

    def close(self) -> None:
        """End every process inside and remove the files; may be repeated."""
        for stream in (self._keeper.stdin, self._keeper.stdout):
            if stream is not None:
                stream.close()
        self._keeper.wait(timeout=60)
        for child in getattr(self, "_children", []):
            child.wait(timeout=60)
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
