"""`python -m slurm_recorder FOLDER [SCENARIO...]` from tests/, or `--snapshot FOLDER`.

Run by `make fixtures`. Scenarios go into `FOLDER/slurm-SERIES.tar.xz`, a snapshot into a folder of
its own; review it before you give it away.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from slurm_lab import Lab, Settings
from slurm_lab.requirements import what_is_missing

from slurm_recorder.archive import keep, series_of
from slurm_recorder.job_scenarios import JOB_SCENARIOS
from slurm_recorder.resource_scenarios import RESOURCE_SCENARIOS
from slurm_recorder.scenario_run import ScenarioRun
from slurm_recorder.snapshot import snapshot

IDS_PER_SCENARIO = 100


def main(argv: list[str] | None = None) -> int:
    """Record the scenarios or a snapshot, and print what was recorded."""
    parser = argparse.ArgumentParser(prog="slurm_recorder", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the recordings are kept")
    parser.add_argument("scenarios", nargs="*", help="their names; all if none is given")
    parser.add_argument("--snapshot", action="store_true", help="read the live cluster, once")
    args = parser.parse_args(argv)
    if args.snapshot:
        print(f"recorded: {snapshot(args.folder)}")
        return 0
    missing = what_is_missing()
    if missing:
        print(f"no cluster can be started here: {missing}", file=sys.stderr)
        return 1
    wanted = [
        each
        for each in (*RESOURCE_SCENARIOS, *JOB_SCENARIOS)
        if not args.scenarios or each.name in args.scenarios
    ]
    with tempfile.TemporaryDirectory() as directory, Lab(Settings()) as lab:
        folder = Path(directory) / "new"
        run = ScenarioRun(lab, folder)
        for number, scenario in enumerate(wanted, start=1):
            print(f"{scenario.name} ({number} of {len(wanted)})", flush=True)
            run.record(scenario, 4_200_000 + IDS_PER_SCENARIO * number)
        kept = keep(folder, args.folder, series_of(run.release))
    print(f"recorded: Slurm {run.release}, {len(wanted)} situations in {kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
