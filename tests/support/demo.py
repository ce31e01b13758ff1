"""`make demo`: show some jobs from the hook to cc-backend in half a minute.

Hooks, drain and commands are the real ones; the server is a stub that answers as recorded, and
Slurm is a stand-in (`--slurm`: a real cluster, where Slurm is installed). The exit code is 0 only
if every step went as expected.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo_site import REJECTION, Cluster, DemoSite, StandInCluster

HEAD = ("job", "user", "state", "hosts", "threads", "GPUs")


class Demo:
    """The demo in numbered steps; `expected` are the rows that the server must have at the end."""

    def __init__(self, stage: DemoSite) -> None:
        self.stage = stage
        self.cluster = stage.cluster
        self.expected: dict[int, tuple[str, int, int]] = {}  # state, hardware threads, GPUs
        self._steps = 0

    def play(self) -> bool:
        """Run all steps; return whether every row is as expected at the end."""
        self._one_job()
        self._shared_gpu()
        self._array()
        self._requeue()
        self._outage()
        self._missed()
        refused = self._refused()
        self.stage.wait("an empty spool", self._is_done)
        return self._conclude(refused)

    def _one_job(self) -> None:
        job = self._begin("plain")
        shown = self._shown(job)
        self._step(f"Job {job} starts.", f"{shown} later cc-backend shows it as running.")
        self.stage.wait("the run in open/", lambda: bool(self.stage.in_spool("open")))
        self._note(
            f"Its facts wait in the spool for its end: open/{self.stage.in_spool('open')[0]}"
        )
        self._finish(job, "completed")
        self._step(f"Job {job} ends.", f"{self._closed(job)} later its row is completed.")

    def _shared_gpu(self) -> None:
        node = "n2gpu01"
        with_gpu = self._begin("training", gpus=2, node=node)
        beside = self._begin("pre-processing", node=node, user="bob")
        shown = self._shown(with_gpu, beside)
        self._step(
            f"Job {with_gpu} of alice gets 2 GPUs of {node}, job {beside} of bob runs beside it.",
            f"{shown} later both rows have their own cores and GPUs. Job {beside} fails.",
        )
        self._finish(with_gpu, "completed", gpus=2)
        self._finish(beside, "failed", exit_code=3)
        self._closed(with_gpu, beside)

    def _array(self) -> None:
        jobs = self.cluster.array("sweep", 3)
        shown = self._shown(*jobs)
        self._step(
            f"An array of 3 tasks starts: jobs {', '.join(map(str, jobs))}.",
            f"{shown} later all are shown.",
        )
        for job in jobs:
            self._finish(job, "completed")
        self._closed(*jobs)

    def _requeue(self) -> None:
        job = self._begin("preempted")
        self._shown(job)
        self.stage.model.commit()  # the server's own, every two minutes; until then it takes both
        first = self._starts(job)
        self.cluster.requeue(job)
        took = self.stage.wait("the second run", lambda: self._starts(job) > first)
        self._step(
            f"Job {job} is requeued and starts again.",
            f"{took:.2f} s later the row shows the second run: cc-backend accepts one run of a",
            "job id in 24 hours. The facts of the first run stay in the archive.",
        )
        self._finish(job, "completed")
        self._closed(job)

    def _outage(self) -> None:
        before = self._begin("long")
        self._shown(before)
        with self.stage.outage():
            self._finish(before, "completed")
            during, both = self._begin("later"), self._begin("short")
            self._finish(both, "failed", exit_code=1)
            jobs = {str(job) for job in (before, during, both)}
            self.stage.wait("facts on disk", lambda: jobs <= self._jobs_in("todo"))
            self.stage.wait("no events", lambda: not self.stage.in_spool("new"))
            self._step(
                f"cc-backend is away. Job {before} ends, {during} starts, {both} starts and ends.",
                "Their facts are on disk, in todo/:",
                f"  {' '.join(self.stage.in_spool('todo'))}",
            )
            time.sleep(1)
        took = self.stage.wait("all rows", lambda: self.stage.state(both) == "failed")
        self._note(f"cc-backend is back. {took:.2f} s later it has everything.")
        self._finish(during, "completed")
        self._closed(before, during)

    def _missed(self) -> None:
        with self.stage.lost_events():
            job = self._begin("missed")
        began = time.monotonic()
        sweep = self.stage.run("cc-sweep", "apply", "-j", str(job))
        self._shown(job)
        self._step(
            f"Job {job} starts and the hook's event is lost, so nobody reports it.",
            f"A sweep finds and repairs that: cc-sweep apply -j {job}",
            *sweep.stdout.splitlines()[-1:],
            f"{time.monotonic() - began:.2f} s after it began cc-backend shows the job.",
        )
        self._finish(job, "completed")
        self._closed(job)

    def _refused(self) -> int:
        job = self.cluster.plan("refused")
        self.stage.refuse(job, REJECTION)
        self.cluster.start(job)
        self.stage.wait("a dead letter", lambda: bool(self.stage.in_spool("dead")))
        self.cluster.end(job)
        self._step(
            f"cc-backend rejects job {job}. The run becomes a dead letter; all others go on.",
            f"It stays until an administrator acts: cc-spool retry {job} or discard {job}",
        )
        return job

    def _conclude(self, refused: int) -> bool:
        """Print the rows and the dead letter; return whether the rows are as expected."""
        print("\nWhat cc-backend has now:\n")
        print(table(self.stage.rows()))
        answer = self.stage.run("cc-spool", "show", str(refused))
        print(f"\n$ cc-spool show {refused} | grep -E 'dead|why'")
        print("\n".join(re.findall(r"^dead.*|^  why.*", answer.stdout, re.MULTILINE)))
        found = {
            row["jobId"]: (row["jobState"], row["numHwthreads"], row.get("numAcc", 0))
            for row in self.stage.rows()
        }
        wrong = [
            f"job {i}: {found.get(i)} instead of {e}"
            for i, e in self.expected.items()
            if found.get(i) != e
        ]
        wrong += [f"job {i} is too many" for i in found.keys() - self.expected.keys()]
        if len(self.stage.rows()) != len(found):
            wrong.append("a job has several rows")
        if REJECTION not in answer.stdout:
            wrong.append(f"the dead letter of job {refused} is not shown: {answer.stderr}")
        print("\n" + "\n".join(wrong or ["All is as expected."]))
        return not wrong

    def _begin(self, name: str, *, gpus: int = 0, node: str = "", user: str = "alice") -> int:
        job = self.cluster.plan(name, gpus=gpus, node=node, user=user)
        self.cluster.start(job)
        return job

    def _finish(self, job: int, state: str, *, gpus: int = 0, exit_code: int = 0) -> None:
        self.cluster.end(job, exit_code=exit_code)
        self.expected[job] = (state, 2, gpus)

    def _shown(self, *jobs: int) -> str:
        stage = self.stage
        took = stage.wait(f"{jobs} to run", lambda: {*map(stage.state, jobs)} == {"running"})
        return f"{took:.2f} s"

    def _closed(self, *jobs: int) -> str:
        def are_closed() -> bool:
            return all(self.stage.state(job) == self.expected[job][0] for job in jobs)

        return f"{self.stage.wait(f'{jobs} to be closed', are_closed):.2f} s"

    def _starts(self, job: int) -> list[int]:
        return [row["startTime"] for row in self.stage.rows() if row["jobId"] == job]

    def _jobs_in(self, directory: str) -> set[str]:
        return {name.partition("-")[0] for name in self.stage.in_spool(directory)}

    def _is_done(self) -> bool:
        return not any(self.stage.in_spool(name) for name in ("new", "todo", "open"))

    def _step(self, *lines: str) -> None:
        self._steps += 1
        print(f"{self._steps}. {lines[0]}")
        self._note(*lines[1:])

    def _note(self, *lines: str) -> None:
        for line in lines:
            print(f"   {line}", flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of the server as a table in text."""
    lines: list[tuple[str, ...]] = [HEAD]
    for row in rows:
        resources = row["resources"]
        accelerators = [a for resource in resources for a in resource.get("accelerators", [])]
        hosts = ",".join(resource["hostname"] for resource in resources)
        threads = ",".join(str(t) for r in resources for t in r.get("hwthreads", []))
        first = (str(row[key]) for key in ("jobId", "user", "jobState"))
        lines.append((*first, hosts, threads, " ".join(accelerators) or "-"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ([cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("   " + "  ".join(cells).rstrip() for cells in padded)


@contextlib.contextmanager
def cluster_of(args: argparse.Namespace, root: Path) -> Iterator[Cluster]:
    """Yield the stand-in, or a real cluster with `--slurm`."""
    if args.slurm:
        from demo_lab import real_cluster  # noqa: PLC0415 - needs more than a run-time environment

        with real_cluster() as cluster:
            yield cluster
    else:
        yield StandInCluster(root, args.series)


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slurm", action="store_true", help="with real Slurm")
    parser.add_argument("--series", default="24.05", help="release that the stand-in plays")
    parser.add_argument("--server", default="1.5.4", help="cc-backend that the stub plays")
    args = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cc-slurm-sync-demo-") as directory:
        root = Path(directory)
        with cluster_of(args, root) as cluster:
            print(f"Slurm: {cluster.described()}. cc-backend: a stub that plays {args.server}.")
            print("Hooks, drain and commands are the real ones.\n", flush=True)
            with DemoSite(cluster, root, args.server) as stage:
                try:
                    is_good = Demo(stage).play()
                except TimeoutError as error:
                    print(f"\n{error}\n\nThe drain's log:\n{stage.log.read_text()}")
                    is_good = False
    print(f"The demo took {time.monotonic() - begin:.0f} s.")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
