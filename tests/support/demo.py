"""`make demo`: the life of some jobs, from the hook to cc-backend, in half a minute.

Hooks, drain and commands are the real ones; the server is a stub that answers as recorded, and
Slurm a stand-in (`--slurm`: a real cluster, where it is installed). Exit code 0 only if all went as
told.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo_stage import Cluster, Stage, StandIn

HEAD = ("job", "user", "state", "seconds", "hosts", "threads", "GPUs", "shared")
REFUSAL = "bad walltime: the project's time is used up"


class Demo:
    """The story; `expected` collects what the server shall have in the end."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.cluster = stage.cluster
        self.expected: dict[int, tuple[str, int, int]] = {}  # state, hardware threads, GPUs

    def play(self) -> bool:
        """Play all of it; tell whether it ended as expected."""
        self._plain()
        self._shared_gpu()
        self._array()
        self._requeue()
        self._outage()
        refused = self._refused()
        self.stage.wait("an empty spool", self._is_done)
        return self._conclude(refused)

    def _plain(self) -> None:
        job = self._begin("plain")
        self._tell("a plain job", f"job {job} starts; cc-backend shows it {self._shown(job)} later")
        self._finish(job, "completed")
        self._note(f"it ends; closed at cc-backend {self._closed(job)} later")

    def _shared_gpu(self) -> None:
        node = "n2gpu01"
        with_gpu = self._begin("training", gpus=2, node=node)
        beside = self._begin("pre-processing", node=node, user="bob")
        self._shown(with_gpu, beside)
        self._tell(
            "a GPU job on a shared node",
            f"job {with_gpu} of alice has 2 GPUs of {node}, job {beside} of bob runs beside it",
        )
        self._finish(with_gpu, "completed", gpus=2)
        self._finish(beside, "failed", exit_code=3)
        self._closed(with_gpu, beside)

    def _array(self) -> None:
        jobs = self.cluster.array("sweep", 3)
        self._shown(*jobs)
        self._tell("an array", f"tasks {', '.join(map(str, jobs))}, each a job of its own")
        for job in jobs:
            self._finish(job, "completed")
        self._closed(*jobs)

    def _requeue(self) -> None:
        job = self._begin("preempted")
        self._shown(job)
        first = self._starts(job)
        self.cluster.requeue(job)
        self.stage.wait("the second run", lambda: self._starts(job) > first)
        self._tell(
            "a requeue",
            f"job {job} is requeued; the server takes no second run of an id within 24 hours, so",
            "the first run's row is replaced by the second's (its facts stay in our archive)",
        )
        self._finish(job, "completed")
        self._closed(job)

    def _outage(self) -> None:
        before = self._begin("long")
        self._shown(before)
        self._tell("an outage", "cc-backend does not answer any more; meanwhile")
        with self.stage.outage():
            self._finish(before, "completed")
            during, both = self._begin("later"), self._begin("short")
            self._finish(both, "failed", exit_code=1)
            jobs = {str(job) for job in (before, during, both)}
            self.stage.wait("facts on disk", lambda: jobs <= self._jobs_in("todo"))
            self.stage.wait("no events", lambda: not self.stage.in_spool("new"))
            self._note(
                f"job {before} ends, job {during} starts, job {both} starts and ends;",
                f"their facts are on disk: todo/ {' '.join(self.stage.in_spool('todo'))}",
            )
            time.sleep(1)
        took = self.stage.wait("all rows", lambda: self.stage.state(both) == "failed")
        self._note(f"cc-backend is back: it has everything after {took:.1f} s")
        self._finish(during, "completed")
        self._closed(before, during)

    def _refused(self) -> int:
        job = self.cluster.plan("refused")
        self.stage.refuse(job, REFUSAL)
        self.cluster.start(job)
        self.stage.wait("a dead letter", lambda: bool(self.stage.in_spool("dead")))
        self.cluster.end(job)
        self._tell("a job that cc-backend refuses", f"job {job} lies in dead/, alone")
        return job

    def _conclude(self, refused: int) -> bool:
        """Print what is where; tell whether it is as expected."""
        print("\n== What cc-backend has\n")
        print(table(self.stage.rows()))
        commands = (("status",), ("list", "dead"), ("show", str(refused)))
        answers = [self.stage.cc_spool(*argv) for argv in commands]
        for argv, answer in zip(commands, answers, strict=True):
            print(f"\n$ cc-spool {' '.join(argv)}\n{answer.stdout}{answer.stderr}", end="")
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
        if REFUSAL not in answers[-1].stdout:
            wrong.append("the dead letter does not show the server's words")
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

    def _tell(self, title: str, *lines: str) -> None:
        print(f"\n== {title[0].upper()}{title[1:]}")
        self._note(*lines)

    def _note(self, *lines: str) -> None:
        for line in lines:
            print(f"   {line}", flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of the server as a table."""
    lines: list[tuple[str, ...]] = [HEAD]
    for row in rows:
        resources = row["resources"]
        accelerators = [a for resource in resources for a in resource.get("accelerators", [])]
        hosts = ",".join(resource["hostname"] for resource in resources)
        threads = ",".join(str(t) for r in resources for t in r.get("hwthreads", []))
        shared = row.get("shared", row.get("exclusive"))
        first = (*(str(row[key]) for key in ("jobId", "user", "jobState")), str(row["duration"]))
        lines.append((*first, hosts, threads, " ".join(accelerators) or "-", str(shared)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ([cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("   " + "  ".join(cells).rstrip() for cells in padded)


@contextlib.contextmanager
def cluster_of(args: argparse.Namespace, root: Path) -> Iterator[Cluster]:
    """Yield the Slurm that was asked for."""
    if args.slurm:
        from demo_lab import real_cluster  # noqa: PLC0415 - needs more than a run-time environment

        with real_cluster() as cluster:
            yield cluster
    else:
        yield StandIn(root, args.series)


def main() -> int:
    """Play the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slurm", action="store_true", help="with real Slurm")
    parser.add_argument("--series", default="24.05", help="release that the stand-in plays")
    parser.add_argument("--server", default="1.5.4", help="cc-backend that the stub plays")
    args = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cc-slurm-sync-demo-") as directory:
        root = Path(directory)
        with cluster_of(args, root) as cluster:
            server = f"a stub that answers as {args.server}"
            print(f"Slurm is {cluster.described()}; cc-backend is {server}.")
            with Stage(cluster, root, args.server) as stage:
                try:
                    is_good = Demo(stage).play()
                except TimeoutError as error:
                    print(f"\n{error}\n\nThe drain's log:\n{stage.log.read_text()}")
                    is_good = False
    print(f"\n{time.monotonic() - begin:.0f} s")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
