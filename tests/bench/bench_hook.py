"""Measure the time of a hook's process against an empty script in the same shell, in turn."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

HOOKS = Path(__file__).resolve().parents[2] / "hooks"
SHELLS = {"dash": ["dash"], "bash as sh": ["bash", "--posix"], "busybox sh": ["busybox", "sh"]}
WANTED = 1.6
NULL = os.open(os.devnull, os.O_RDWR)


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Run a command; return how long that took, from its start to its end."""
    to_null = [(os.POSIX_SPAWN_DUP2, NULL, fd) for fd in range(3)]
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment, file_actions=to_null)
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - began
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return took


def main() -> None:
    """Print both medians and their ratio for each shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        spool = Path(place)
        (spool / "new").mkdir()
        empty = spool / "empty"
        empty.write_text("#!/bin/sh\nexit 0\n")
        environment = {
            "CC_SLURM_SYNC_SPOOL": place,
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NODELIST": "n2cn[001-003],n2gpu01",
            "SLURM_JOB_USER": "ada",
            "SLURM_JOB_PARTITION": "cpu",
            "SLURM_CLUSTER_NAME": "lab",
        }
        for name, (program, *words) in SHELLS.items():
            path = shutil.which(program)
            if path is None:
                print(f"{name}: not installed")
                continue
            hook, nothing = [], []
            for _ in range(options.turns):
                nothing.append(seconds([path, *words, str(empty)], environment))
                hook.append(seconds([path, *words, str(HOOKS / "prolog_slurmctld")], environment))
            both = statistics.median(hook) * 1e3, statistics.median(nothing) * 1e3
            ratio = both[0] / both[1]
            print(
                f"{name}: hook {both[0]:.2f} ms, empty script {both[1]:.2f} ms,"
                f" ratio of medians {ratio:.2f} (wanted: at most {WANTED})"
            )


if __name__ == "__main__":
    main()
