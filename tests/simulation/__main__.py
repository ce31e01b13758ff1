"""`python -m simulation --seeds 0..300`, or `--seed N --story`: run seeds, show what failed."""

from __future__ import annotations

import argparse
import os
import sys
import time

from simulation.run import Simulation


def main() -> int:
    """Run the seeds; return 1 if one broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0..20", help="FIRST..LAST, LAST not included")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--story", action="store_true", help="print the timeline")
    parser.add_argument("--first", action="store_true", help="end at the first violation")
    parser.add_argument("--verbose", action="store_true", help="a line for each seed")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("..")
    seeds = range(int(first), int(last)) if options.seed is None else [options.seed]
    failed = 0
    began = time.perf_counter()
    for seed in seeds:
        at = time.perf_counter()
        result = Simulation(seed, keep_story=options.story).run()
        failed += bool(result.violation)
        if options.story:
            print("\n".join(result.story))
        if result.violation or options.verbose or options.story:
            seconds = time.perf_counter() - at
            counts = f"{result.runs} runs, {result.starts} started, {result.stops} stopped"
            print(
                f"seed {seed}: {result.title}\n  {counts}, {result.passes} passes, {seconds:.2f} s"
            )
            print(f"  {result.violation or 'well'}", flush=True)
        if failed and options.first:
            break
    seconds = time.perf_counter() - began
    print(f"{len(seeds)} seeds, {failed} with a violation, {seconds:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets belongs to the seed
        os.execve(  # noqa: S606 - ourselves again
            sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )  # fmt: skip
    sys.exit(main())
