"""Measure sweeps over 1 000, 10 000 and 100 000 running jobs: CPU, time, memory, bytes.

Slurm's commands and cc-backend are stand-ins that stream generated answers; they are processes of
their own and are not counted. Run by `make bench-sweep`; nothing here is a test.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from installed import PATH_SETTING, PYTHON

from slurm.decode.sacct_rows import SACCT_FIELDS
from slurm.job import Job
from spool.files import codec
from spool.files.run import Run

COUNTS = (1_000, 10_000, 100_000)
FIRST_ID = 4_000_000
CHILD = f"""
{PATH_SETTING}
import json, resource, time
began = time.monotonic()
from sweeper.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
# not ru_maxrss, which begins with the size of the parent
report = {{"code": code, "cpu": used.ru_utime + used.ru_stime, "wall": time.monotonic() - began,
           "rss": int(peak.split()[1]) * 1024}}
print(json.dumps(report), file=sys.stderr)
"""
CONFIG = """AccountingStorageType   = accounting_storage/slurmdbd
BOOT_TIME               = {booted}
ClusterName             = lab
PrivateData             = none
SlurmUser               = slurm(64030)

Slurmctld(primary) at ctl01 is UP
"""
SCRIPT = """#!/bin/sh
case "$*" in
*"show config"*)
    echo "Configuration data as of $(date +%s)" # more than a minute ago, stops would be refused
    cat {root}/config.txt
    ;;
*--version*) echo 'slurm 22.05.8' ;;
*ping*) echo 'Slurmctld(primary) at ctl01 is UP' ;;
*-j*)
    for word; do
        case "$word" in --delimiter=*) new=${{word#--delimiter=}} ;; esac
    done
    sed "s/$(printf '\\037')/$new/g" {root}/accounted.txt
    ;;
*-E*) : ;;
*) cat {root}/squeue.txt ;;
esac
"""


@dataclass(frozen=True)
class Measured:
    """One sweep: seconds and bytes; `baseline` is the CPU time of reading the same answers."""

    cpu: float
    baseline: float
    wall: float
    rss: int
    code: int
    changes: int


def main() -> None:
    """Print a table and whether the goal is met."""
    warm_up = f"{PATH_SETTING}; import sweeper.cli, sweeper.commands.plan"  # compiles the modules
    subprocess.run([*PYTHON, warm_up], check=True)
    print(
        f"{'jobs':>8} {'drift':>6} {'CPU s':>7} {'read s':>7} {'ratio':>6} {'wall s':>7}"
        f" {'RSS MB':>7}  plan"
    )
    clean: dict[int, Measured] = {}
    for count in COUNTS:
        clean[count] = show(count, 0)
    drifted = show(COUNTS[-1], COUNTS[-1] // 100)
    largest = clean[COUNTS[-1]]
    growth = largest.cpu / clean[COUNTS[-2]].cpu
    print(f"100 000 jobs: {largest.cpu:.2f} s CPU (goal 0.8), {largest.rss / 1e6:.0f} MB (goal 94)")
    print(f"ten times the jobs: {growth:.1f} times the CPU (linear: at most 10)")
    print(f"1 % drift adds {drifted.cpu - largest.cpu:.2f} s CPU (bar 5)")


def show(count: int, drift: int) -> Measured:
    """Measure one sweep and print its row of the table."""
    measured = sweep(count, drift)
    print(
        f"{count:>8} {drift:>6} {measured.cpu:>7.2f} {measured.baseline:>7.2f}"
        f" {measured.cpu / measured.baseline:>6.1f} {measured.wall:>7.2f}"
        f" {measured.rss / 1e6:>7.1f}  {measured.changes} changes, exit {measured.code}",
        flush=True,
    )
    return measured


def sweep(count: int, drift: int) -> Measured:
    """Measure one sweep over `count` jobs, of which `drift` differ from cc-backend."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        items = lay_out(root, count, drift)
        with serving(items) as port:
            return run(root, port, plain_read(root, items))


def plain_read(root: Path, items: bytes) -> float:
    """Return the CPU time of splitting squeue's lines and of decoding the GraphQL answer."""
    listing = b'{"data":{"jobs":{"items":[%b]}}}' % items
    began = time.process_time()
    with (root / "squeue.txt").open() as lines:
        for line in lines:
            line.rstrip("\n").split("|")
    json.loads(listing)
    return time.process_time() - began


def lay_out(root: Path, count: int, drift: int) -> bytes:
    """Create spool, commands and their answers; return the job list of cc-backend."""
    now = int(time.time())
    start = now - 90_000
    half = drift // 2
    ids = range(FIRST_ID, FIRST_ID + count)
    with (root / "squeue.txt").open("w") as squeue:
        for i in ids[half:]:  # the first ones have ended
            squeue.write(
                f"{i}|{i}|N/A|RUNNING|{start + i % 3600}|{now + 9999}|{start}|4|work|user{i % 500}"
                f"|acc{i % 90}|node[{i % 4000:04}-{i % 4000 + 3:04}]\n"
            )
    with (root / "accounted.txt").open("w") as accounted:
        for i in ids[:half]:
            accounted.write(_accounted(i, start + i % 3600, now - 5000))
    items = [_item(i, start + i % 3600) for i in ids[: count - half]]  # the last ones are missing
    (root / "config.txt").write_text(CONFIG.format(booted=now - 9999))
    for name in ("squeue", "sacct", "scontrol"):
        (root / name).write_text(SCRIPT.format(root=root))
        (root / name).chmod(0o755)
    for name in ("new", "todo", "open", "dead", "tmp"):
        (root / "spool" / name).mkdir(parents=True)
    for i in ids[: count - half]:
        name = f"{i}-{start + i % 3600}.json"
        contents = codec.encode(_run(i, start + i % 3600)) if i < FIRST_ID + half else b""
        (root / "spool" / "open" / name).write_bytes(contents)  # only runs that differ are read
    (root / "state").mkdir()
    state = {"mark": now - 600, "cluster": "lab", "running": count}
    (root / "state" / "sweep.json").write_text(json.dumps(state))
    return b",".join(items)


def _run(job_id: int, start: int) -> Run:
    job = Job(job_id=job_id, start_time=start, user="ada", nodes=("node0001",))
    return Run(job=job, start_time=start, started=start + 1, cluster="lab")


def _item(job_id: int, start: int) -> bytes:
    text = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(start))
    item = {"id": job_id, "jobId": job_id, "cluster": "lab", "startTime": text, "state": "running"}
    return json.dumps(item, separators=(",", ":")).encode()


def _accounted(job_id: int, start: int, end: int) -> str:
    fields = {
        "Cluster": "lab",
        "JobIDRaw": str(job_id),
        "JobID": str(job_id),
        "User": f"user{job_id % 500}",
        "UID": "1000",
        "State": "COMPLETED",
        "Submit": str(start),
        "Start": str(start),
        "End": str(end),
        "AllocCPUS": "4",
        "NodeList": "node0001",
    }
    return "\x1f".join(fields.get(name, "") for name in SACCT_FIELDS.split(",")) + "\n"


@contextmanager
def serving(items: bytes) -> Iterator[int]:
    """Serve a job list from another process; yield the port."""
    mine, other = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(items, other), daemon=True)
    process.start()
    try:
        yield mine.recv()
    finally:
        process.terminate()
        process.join()


def serve(items: bytes, pipe: Connection) -> None:
    """Answer REST and look-ups with no job, and other GraphQL queries with all running jobs."""
    count = items.count(b'"jobId"')
    whole = b'{"data":{"jobs":{"count":%d,"items":[%b]}}}' % (count, items)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            self._say(b'{"jobs":[],"items":1,"page":1}')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._say(b'{"data":{"jobs":{"count":0,"items":[]}}}' if b"jobId" in body[150:] else
                      whole)  # fmt: skip

        def _say(self, answer: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.serve_forever()


def run(root: Path, port: int, baseline: float) -> Measured:
    """Run `cc-sweep plan` once and read what it used."""
    token = root / "token"
    token.write_text("made-up-token\n")
    token.chmod(0o600)
    document: dict[str, Any] = {
        "clustername": "lab",
        "slurm": {name: str(root / name) for name in ("squeue", "sacct", "scontrol")},
        "cc-backend": {"host": f"http://127.0.0.1:{port}", "token_file": str(token)},
        "spool": {"directory": str(root / "spool"), "state_directory": str(root / "state")},
    }
    (root / "config.json").write_text(json.dumps(document))
    argv = [*PYTHON, CHILD, "plan", "-c", str(root / "config.json"), "--json"]
    child = subprocess.run(argv, capture_output=True, text=True, check=True)
    report = json.loads(child.stderr.splitlines()[-1])
    plan = json.loads(child.stdout)
    if plan["refused"]:
        raise RuntimeError(f"the sweep refused to believe the stand-ins: {plan['guards']}")
    changes = len(plan["changes"]) + len(plan["held"]) + plan["left"]
    return Measured(
        cpu=report["cpu"],
        baseline=baseline,
        wall=report["wall"],
        rss=report["rss"],
        code=report["code"],
        changes=changes,
    )


if __name__ == "__main__":
    main()
