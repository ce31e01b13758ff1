"""A long run of traffic under every fault at once: `python -m chaos.soak --seconds 600 --seed 1`.

All the time 20 % of the server's answers are lost and one poisoned run of each kind is pending.
From time to time the server is down, Slurm hangs, the drain is killed or the wall clock steps; a
sweep runs every minute. Afterwards everything must be delivered soon: nothing lost, doubled or
wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from chaos.harness import World
from chaos.slurm import NEW, OLD
from chaos.soak_report import Report
from chaos.soak_run import FAULTS, Soak


def soak(
    root: Path, *, seconds: float, rate: float, seed: int, without: Collection[str] = ()
) -> Report:
    """Run one soak below a directory; the seed also chooses the releases."""
    version = ("1.5.4", "1.4.4")[seed % 2]
    release = (NEW, OLD)[seed // 2 % 2]
    with World(root / "world", version=version, release=release, seed=seed) as world:
        return Soak(world, rate=rate, seed=seed, without=without).run(seconds)


def main() -> int:
    """Run one soak and print its report; return 0 if all requirements are met."""
    parser = argparse.ArgumentParser(prog="python -m chaos.soak")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=15.0, help="events a second")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--without", action="append", default=[], choices=FAULTS)
    parser.add_argument("--keep", type=Path, help="directory for the world, kept")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        report = soak(
            args.keep or Path(temporary),
            seconds=args.seconds,
            rate=args.rate,
            seed=args.seed,
            without=args.without,
        )
    print(report)
    return 0 if report.is_healthy else 1


if __name__ == "__main__":
    sys.exit(main())
