"""Measure a backfill of a month with 1 000 000 ended jobs: rate, CPU, memory day by day.

Slurm's commands and cc-backend are stand-ins: accounting has the same number of jobs for each
day, cc-backend has none of them. Nothing is queued (`--dry-run`): `make bench-replay` measures how
fast the drain delivers. Run by `make bench-backfill`; nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_sweep import CONFIG, serving
from installed import ROOT

from slurm.decode.sacct_rows import SACCT_FIELDS

DAY = 86400
CHILD = """
import json, resource, sys, time
import sweeper.backfill
from sweeper.cli import main

def kib(name):
    (line,) = (line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1])

real, days = sweeper.backfill._backfill_window, []
def measured(*args, **named):
    made = real(*args, **named)
    days.append((time.monotonic(), kib("VmRSS"), kib("VmHWM")))
    return made
sweeper.backfill._backfill_window = measured
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"code": code, "cpu": used.ru_utime + used.ru_stime, "days": days}),
      file=sys.stderr)
"""
# The job ids of a day begin with the number of the day. With `-j` it prints the rows of those ids.
SACCT = r"""#!/bin/sh
ids= step=
while [ $# -gt 0 ]; do
    case "$1" in
    --delimiter=*) delimiter=${1#--delimiter=} ;;
    -S) since=${2#uts} ;;
    -E) until=${2#uts} ;;
    -j) ids=$2 ;;
    -o) case "$2" in JobIDRaw,State,Start*) step=1 ;; esac ;;
    esac
    shift
done
[ -n "$step" ] && exit 0
if [ -n "$ids" ]; then
    printf '%%s' "$ids" | tr ',' '\n'
else
    seq $(( (since / %(day)d - %(first)d + 1) * 10000000 )) \
        $(( (since / %(day)d - %(first)d + 1) * 10000000 + %(count)d - 1 ))
fi | awk -v d="$delimiter" -v since="$since" -v until="$until" -v ids="$ids" '{
    day = int($1 / 10000000) - 1 + %(first)d; start = day * %(day)d + 3600 + $1 %% 40000
    if (!ids && (start + 600 < since || start + 600 >= until)) next
    row = "%(row)s"
    gsub("ID", $1, row); gsub("START", start, row); gsub("END", start + 600, row)
    gsub("\037", d, row); print row }'
"""
FIELDS = {
    "Cluster": "lab",
    "JobIDRaw": "ID",
    "JobID": "ID",
    "User": "ada",
    "UID": "1000",
    "Account": "acc",
    "Partition": "work",
    "State": "COMPLETED",
    "Submit": "START",
    "Start": "START",
    "End": "END",
    "AllocCPUS": "4",
    "NodeList": "node0001",
}
SCONTROL = """#!/bin/sh
case "$*" in
*"show config"*) echo "Configuration data as of $(date +%s)"; cat {root}/config.txt ;;
*--version*) echo 'slurm 22.05.8' ;;
esac
"""


def lay_out(root: Path, port: int, *, days: int, count: int) -> int:
    """Make spool, commands and configuration; return the begin of the first day."""
    first = int(time.time()) // DAY - days - 1
    row = "\\037".join(FIELDS.get(name, "") for name in SACCT_FIELDS.split(","))
    settings = {"day": DAY, "first": first, "count": count, "row": row}
    scripts = {"sacct": SACCT % settings, "scontrol": SCONTROL.format(root=root)}
    for name in ("squeue", "sacct", "scontrol"):
        (root / name).write_text(scripts.get(name, "#!/bin/sh\n[ $1 = --version ] && echo 22.05.8"))
        (root / name).chmod(0o755)
    (root / "config.txt").write_text(CONFIG.format(booted=int(time.time()) - 9999))
    for name in ("new", "todo", "open", "dead", "tmp"):
        (root / "spool" / name).mkdir(parents=True)
    (root / "state").mkdir()
    token = root / "token"
    token.write_text("made-up-token\n")
    token.chmod(0o600)
    document = {
        "clustername": "lab",
        "slurm": {name: str(root / name) for name in ("squeue", "sacct", "scontrol")},
        "cc-backend": {"host": f"http://127.0.0.1:{port}", "token_file": str(token)},
        "spool": {"directory": str(root / "spool"), "state_directory": str(root / "state")},
    }
    (root / "config.json").write_text(json.dumps(document))
    return first * DAY


def main() -> None:
    """Print the memory of every fifth day, then the number of runs, the rate and the CPU time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="in all days together")
    options = parser.parse_args()
    count = options.jobs // options.days
    with tempfile.TemporaryDirectory() as place, serving(b"") as port:
        root = Path(place)
        since = lay_out(root, port, days=options.days, count=count)
        window = ["--since", f"@{since}", "--until", f"@{since + options.days * DAY}"]
        words = ["backfill", *window, "--dry-run", "--json", "-c", str(root / "config.json")]
        began = time.monotonic()
        child = subprocess.run(
            [sys.executable, "-c", CHILD, *words],
            cwd=ROOT,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=True,
        )
        wall = time.monotonic() - began
    report, counts = json.loads(child.stderr.splitlines()[-1]), json.loads(child.stdout)
    for number, (_, resident, peak) in enumerate(report["days"], 1):
        if number in {1, 2, 3, len(report["days"])} or number % 5 == 0:
            print(f"day {number:3}: {resident / 1024:6.1f} MiB, at most {peak / 1024:6.1f} MiB")
    print(f"{counts['seen']} runs, {counts['queued']} to report, exit {report['code']}")
    cpu = 1e6 * report["cpu"] / counts["seen"]
    print(f"{counts['seen'] / wall:.0f} runs/s, {cpu:.0f} µs own CPU a run")


if __name__ == "__main__":
    main()
