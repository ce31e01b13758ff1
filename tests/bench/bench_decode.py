"""Measure speed and memory of decoding 10 000 jobs, by series and source: `make bench-decode`.

Recorded records are repeated with new ids. Each figure comes from a separate process, so that the
peak is that of one source; the memory of the interpreter with all imports is subtracted. The exit
status is 1 if a source needs more than 64 MB.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

from recorded_slurm import (
    RELEASES,
    SERIES,
    Situation,
    json_records,
    lookup_lines,
    node_of,
    sacct_lines,
    text_records,
)

from slurm.decode.json_stream import RecordStream
from slurm.decode.sacct_rows import parse_sacct_rows
from slurm.decode.scontrol_job import add_job_detail
from slurm.decode.squeue_columns import columns_for, parse_job_columns
from slurm.decode.squeue_json import parse_job
from slurm.job import Job
from slurm.lookup.result import IDS_PER_CALL
from slurm.release import features_of

JOBS = 10_000
PIECE = 1 << 16  # the bytes that one read of a pipe returns
LIMIT_MB = 64.0
FIRST_ID = 1_000_000


def pieces(records: list[str], head: str, tail: str) -> Iterator[bytes]:
    """Yield an answer about all jobs piece by piece, generated on demand."""
    waiting = head.encode()
    for number, record in enumerate(islice(cycle(records), JOBS)):
        comma = "," if number else ""
        waiting += (comma + record.replace('"@id"', str(FIRST_ID + number))).encode()
        while len(waiting) >= PIECE:
            yield waiting[:PIECE]
            waiting = waiting[PIECE:]
    yield waiting + tail.encode()


def json_pieces(document: bytes) -> Iterator[bytes]:
    """Yield a JSON answer piece by piece, indented as the releases 21.08 to 25.11 print it."""
    records = [json.dumps(r | {"job_id": "@id"}, indent=1) for r in json_records(document)]
    beside = {k: v for k, v in json.loads(document).items() if k != "jobs"}
    return pieces(records, '{"jobs": [', "]," + json.dumps(beside)[1:])


def squeue_json(situation: Situation) -> tuple[int, int]:
    """Decode `squeue --json`; keep as many jobs as one call may ask for."""
    kept: list[Job] = []
    count = 0

    def take(record: dict[str, object]) -> None:
        nonlocal count
        count += 1
        job = parse_job(record, node_of=node_of)
        if len(kept) < IDS_PER_CALL:
            kept.append(job)

    stream = RecordStream(take)
    size = feed(stream.feed, json_pieces(situation.files["squeue-all.json"]))
    stream.close()
    return count, size


def feed(take: Callable[[bytes], object], answer: Iterator[bytes]) -> int:
    """Pass each piece of an answer to `take`; return the size of the answer."""
    size = 0
    for piece in answer:
        size += len(piece)
        take(piece)
    return size


def squeue_text(situation: Situation) -> tuple[int, int]:
    """Decode the columns of `squeue -O`, with as many ids per call as the client asks for."""
    columns = columns_for(features_of(RELEASES[situation.series]))
    lines = [line.split(b"|", 1)[1] for line in lookup_lines(situation, "").splitlines()]
    count = size = 0
    for first in range(0, JOBS, IDS_PER_CALL):
        numbers = range(FIRST_ID + first, FIRST_ID + first + IDS_PER_CALL)
        pairs = zip(numbers, cycle(lines), strict=False)
        answer = b"".join(b"%d|%s\n" % pair for pair in pairs)
        size += len(answer)
        count += len(parse_job_columns(answer, columns, cluster="lab").rows)
    return count, size


def scontrol_text(situation: Situation) -> tuple[int, int]:
    """Decode `scontrol show job ID -d`, one job per call."""
    columns = columns_for(features_of(RELEASES[situation.series]))
    jobs = parse_job_columns(lookup_lines(situation, ""), columns, cluster="lab").rows
    records = text_records(situation.files["scontrol.txt"])
    running = [job for job in jobs.values() if job.nodes]
    size = 0
    for job in islice(cycle(running), JOBS):
        size += len(records[job.job_id])
        add_job_detail(job, records[job.job_id], node_of=node_of)
    return JOBS, size


def sacct_text(situation: Situation) -> tuple[int, int]:
    """Decode `sacct -P`; every run is kept."""
    lines = sacct_lines(situation.files["sacct.txt"]).splitlines(keepends=True)
    answer = b"".join(islice(cycle(lines), JOBS))
    return len(parse_sacct_rows(answer, cluster="lab")), len(answer)


SOURCES = {
    "squeue JSON": squeue_json,
    "squeue text": squeue_text,
    "scontrol text": scontrol_text,
    "sacct text": sacct_text,
}


def measure(series: str, source: str) -> None:
    """Decode once in this process; print size, seconds and peak memory as JSON."""
    situation = Situation(series, "many-states")
    assert situation.files  # unpack the recordings now: they are not the decoder's memory
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (proc(5))
    before = memory("VmRSS")
    began = time.process_time()
    count, size = SOURCES[source](situation)
    seconds = time.process_time() - began
    peak = memory("VmHWM") - before
    assert count == JOBS
    print(json.dumps({"mb": size / 1e6, "seconds": seconds, "peak": peak}))


def memory(name: str) -> float:
    """Return a memory figure of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(found) / 1024


def main() -> int:
    """Print one line for each series and source."""
    print(f"{JOBS} jobs; CPU seconds include making the answer up; peak above the interpreter")
    print(f"{'series':7}{'source':15}{'MB':>7}{'MB/s':>7}{'jobs/s':>8}{'peak MB':>9}")
    highest = 0.0
    for series in SERIES:
        for source in SOURCES:
            command = [sys.executable, str(Path(__file__)), series, source]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            highest = max(highest, found["peak"])
            speed = found["mb"] / found["seconds"]
            print(
                f"{series:7}{source:15}{found['mb']:7.1f}{speed:7.1f}"
                f"{JOBS / found['seconds']:8.0f}{found['peak']:9.1f}",
                flush=True,
            )
    print(f"highest peak {highest:.1f} MB, allowed {LIMIT_MB:.0f} MB")
    return int(highest > LIMIT_MB)


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(*sys.argv[1:])
    else:
        sys.exit(main())
