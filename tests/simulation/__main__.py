"""`python -m simulation --seeds 0..300`, or `--seed N --story`: run seeds, show what failed.

`--planted [WORD ...]` plants known bugs in a copy and shows which seed finds each.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from simulation.planted import run_planted
from simulation.run import Result, Simulation


def main() -> int:
    """Run the seeds; return 1 if one ends with a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="with --planted: only bugs that hold such a word")
    parser.add_argument("--seeds", default="0..20", help="FIRST..LAST, LAST not included")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--story", action="store_true", help="print the timeline")
    parser.add_argument("--first", action="store_true", help="end at the first violation")
    parser.add_argument("--verbose", action="store_true", help="a line for each seed")
    parser.add_argument("--planted", action="store_true", help="let planted bugs be found")
    options = parser.parse_args()
    if options.planted:
        return run_planted(options.words)
    first, _, last = options.seeds.partition("..")
    seeds = range(int(first), int(last)) if options.seed is None else [options.seed]
    failed = 0
    began = time.perf_counter()
    for seed in seeds:
        result = Simulation(seed, keep_story=options.story).run()
        failed += bool(result.violation)
        if result.violation or options.verbose or options.story:
            _show(result)
        if failed and options.first:
            break
    print(f"{len(seeds)} seeds, {failed} with a violation, {time.perf_counter() - began:.1f} s")
    return 1 if failed else 0


def _show(result: Result) -> None:
    """Print the story, if it was kept, and the result."""
    for line in result.story:
        print(line)
    counts = f"{result.runs} runs, {result.starts} started, {result.stops} stopped"
    print(f"seed {result.seed}: {result.title}\n  {counts}, {result.passes} passes")
    print(f"  {result.violation or 'well'}", flush=True)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets must be the same for a seed
        again = [sys.executable, "-m", "simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606 - ourselves
    sys.exit(main())
