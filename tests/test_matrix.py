"""Every series of Slurm with every generation of cc-backend: hooks, drain, sweep, rows.

Slurm is a stand-in that prints the output of the release, the server a stub that answers as the
version did; hooks, drain and its configuration are the real ones.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compatibility import SERIES, SERVERS, Run, note
from demo_site import CLUSTERS, GPUS, make_spool
from standin_slurm.controller import Controller
from stub_server import Model, StubServer

from spool import cli
from spool.deliver import reaction
from spool.files.state_files import SWEEP_STATE_FILE
from sweeper import cli as sweep_cli

SCRIPT = "#!/bin/bash\nsrun ./simulation\n"


class Clock:
    """The controller's clock, set by hand."""

    def __init__(self) -> None:
        self.now = time.time() - 200

    def __call__(self) -> float:
        """Return Unix seconds."""
        return self.now


class Site:
    """A controller, a server and a drain that runs on command."""

    def __init__(self, root: Path, series: str, server: StubServer) -> None:
        self.clock = Clock()
        self.spool = make_spool(root / "spool")
        self.slurm = Controller(root / "slurm", series, spool=self.spool, clock=self.clock)
        self.server = server
        self._config = root / "config.json"
        (root / "state").mkdir()
        token = root / "token"
        token.write_text(server.model.token)
        token.chmod(0o600)
        topology = root / "cluster.json"
        topology.write_text(json.dumps(CLUSTERS[0]))
        commands = ("squeue", "sacct", "scontrol")
        has_clusters = server.model.version >= "1.3"
        document = {
            "clustername": "lab",
            "slurm": {name: str(self.slurm.command(name)) for name in commands},
            "cc-backend": {"host": server.url, "token_file": str(token)},
            "gpuPciAddrs": {"^n2gpu0[12]$": GPUS},
            "topology_files": [] if has_clusters else [str(topology)],
            "spool": {"directory": str(self.spool), "state_directory": str(root / "state")},
            "sweep": {"grace_seconds": 0},
        }
        self._config.write_text(json.dumps(document))
        self._config.chmod(0o600)

    def drain(self) -> int:
        """Drain once; then the server commits what it holds in its cache."""
        code = cli.main(["drain", "--once", "-c", str(self._config)])
        self.server.model.commit()
        return code

    def sweep(self, verb: str) -> int:
        """Sweep; then the server commits what it holds in its cache."""
        code = sweep_cli.main([verb, "--json", "-c", str(self._config)])
        self.server.model.commit()
        return code

    def backdate_first_sweep(self, seconds: int) -> None:
        """Set the time of the first sweep back: jobs that ended before it are never reported."""
        path = self._config.with_name("state") / SWEEP_STATE_FILE
        state = json.loads(path.read_text())
        path.write_text(json.dumps({**state, "installed": state["installed"] - seconds}))

    def lose(self, *directories: str) -> None:
        """Delete all files in some directories of the spool."""
        for name in directories:
            for path in (self.spool / name).iterdir():
                path.unlink()

    def left(self) -> dict[str, list[str]]:
        """Return the names of the files in the spool by directory."""
        names = ("new", "todo", "open", "dead", "tmp")
        found = {name: sorted(p.name for p in (self.spool / name).iterdir()) for name in names}
        return {name: files for name, files in found.items() if files}


@pytest.fixture
def quiet_signals() -> Iterator[None]:
    """Restore the signal handlers that a drain changes."""
    kept = {number: signal.getsignal(number) for number in (2, 15, 1)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def start_all(slurm: Controller) -> dict[str, int]:
    """Start one job of each kind; return their ids by name."""
    jobs = {
        "plain": slurm.start({"n2cn001": [0]}),
        "both_sockets": slurm.start({"n2cn001": [1, 4, 5]}, user="bob", account="k2000"),
        "whole": slurm.start({"n2cn002": [*range(8)], "n2cn003": [*range(8)]}, sharing="NODE"),
        "own": slurm.start({"n2cn004": [3]}, sharing="USER", limit=None),
        "gpus": slurm.start(
            {"n2gpu01": [4], "n2gpu02": [0, 1]},
            gpus={"n2gpu01": [2, 3], "n2gpu02": [0]},
            partition="gpu",
            limit=90,
        ),
        "requeued": slurm.start({"n2cn001": [2]}),
        "interactive": slurm.start({"n2cn001": [3]}, script=None),
    }
    first = slurm.new_id()
    for task in range(2):
        job_id = slurm.new_id() if task == 0 else first  # the last task has the array's own id
        slurm.start({"n2cn001": [6 + task]}, job_id=job_id, array=[first, task])
        jobs[f"task{task}"] = job_id
    return jobs


def end_all(slurm: Controller, jobs: dict[str, int]) -> None:
    """End each job in a different way; requeue one for a second run."""
    slurm.end(jobs["plain"])
    slurm.end(jobs["both_sockets"], "FAILED", exit_code=3 << 8)
    slurm.end(jobs["whole"], "NODE_FAIL")
    slurm.cancel(jobs["own"])
    slurm.end(jobs["gpus"], "TIMEOUT", exit_code=15)
    slurm.end(jobs["interactive"])
    slurm.end(jobs["task0"], "OUT_OF_MEMORY")
    slurm.forget(jobs["task0"])  # only accounting has it now
    slurm.end(jobs["task1"])
    slurm.requeue(jobs["requeued"])


def threads(*cores: int) -> list[int]:
    """Return the hardware threads of some cores."""
    return sorted([*cores, *(core + 8 for core in cores)])


def expected_rows(version: str, jobs: dict[str, int]) -> dict[int, dict[str, Any]]:
    """Return the row that the server must have for each job, in the server's fields."""
    is_new = version >= "1.5"

    def sharing(old: int, new: str) -> dict[str, Any]:
        return {"shared": new} if is_new else {"exclusive": old}

    multi, whole, own = (
        sharing(0, "multi_user"),
        sharing(1, "none"),
        sharing(2, "single_user"),
    )

    def row(state: str, cpus: int, resources: list[Any], **other: Any) -> dict[str, Any]:
        common = {"user": "alice", "project": "k1000", "partition": "cpu", "walltime": 3600}
        return {
            **common,
            **multi,
            "jobState": state,
            "numHwthreads": cpus,
            "numAcc": 0,
            "numNodes": len(resources),
            "resources": resources,
            **other,
        }

    def on(node: str, *cores: int, gpus: tuple[int, ...] = ()) -> dict[str, Any]:
        found: dict[str, Any] = {"hostname": node, "hwthreads": threads(*cores)}
        return found | ({"accelerators": [GPUS[i] for i in gpus]} if gpus else {})

    with_gpus = [on("n2gpu01", 4, gpus=(2, 3)), on("n2gpu02", 0, 1, gpus=(0,))]
    nodes = [on("n2cn002", *range(8)), on("n2cn003", *range(8))]
    rows = {
        "plain": row("completed", 2, [on("n2cn001", 0)]),
        "both_sockets": row("failed", 6, [on("n2cn001", 1, 4, 5)], user="bob", project="k2000"),
        "whole": row("node_fail" if is_new else "failed", 32, nodes, **whole),
        "own": row("cancelled", 2, [on("n2cn004", 3)], walltime=0, **own),
        "gpus": row("timeout", 6, with_gpus, numAcc=3, walltime=5400, partition="gpu"),
        "requeued": row("completed", 2, [on("n2cn001", 2)]),
        "interactive": row("completed", 2, [on("n2cn001", 3)]),
        "task0": row("out_of_memory", 2, [on("n2cn001", 6)], arrayJobId=jobs["task1"]),
        "task1": row("completed", 2, [on("n2cn001", 7)], arrayJobId=jobs["task1"]),
    }
    return {jobs[name]: fields for name, fields in rows.items()}


@pytest.mark.usefixtures("quiet_signals")
@pytest.mark.parametrize("version", SERVERS)
@pytest.mark.parametrize("series", SERIES)
def test_jobs_of_every_slurm_release_reach_every_cc_backend_release(
    series: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of nine jobs become rows with resources, GPUs, sharing, times and states."""
    monkeypatch.setattr(reaction, "QUEUE_SECONDS", 0)  # the stub processes its queue at once
    model = Model(version=version, clusters=CLUSTERS)
    with StubServer(model) as server:
        site = Site(tmp_path, series, server)
        jobs = start_all(site.slurm)
        began = {job: site.slurm.job(job)["start"] for job in jobs.values()}
        codes = [site.drain()]
        site.clock.now += 60
        end_all(site.slurm, jobs)
        codes.append(site.drain())
        site.clock.now += 30
        site.slurm.restart(jobs["requeued"])
        codes.append(site.drain())
        began[jobs["requeued"]] = int(site.clock.now)
        site.clock.now += 30
        site.slurm.end(jobs["requeued"])
        codes.append(site.drain())

    expected = expected_rows(version, jobs)
    found = {key[0]: {**row} for key, row in model.job.items()}
    shown = {i: {k: found[i].get(k, 0) for k in fields} for i, fields in expected.items()}
    assert ([0] * 4, {}) == (codes, site.left())
    assert expected == shown
    assert began == {key[0]: key[2] for key in model.job}
    scripts = {i: row["metaData"].get("jobScript") for i, row in found.items()}
    assert {i: None if i == jobs["interactive"] else SCRIPT for i in found} == scripts
    note(Run(series, version, "stand-in", len(found)))


@pytest.mark.usefixtures("quiet_signals")
@pytest.mark.parametrize("version", SERVERS)
@pytest.mark.parametrize("series", SERIES)
def test_a_sweep_repairs_differences_for_every_slurm_and_cc_backend_release(
    series: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost row, a lost stop and a job without events are repaired; then nothing differs."""
    monkeypatch.setattr(reaction, "QUEUE_SECONDS", 0)
    model = Model(version=version, clusters=CLUSTERS)
    with StubServer(model) as server:
        site = Site(tmp_path, series, server)
        codes = [site.sweep("apply")]  # the first sweep changes nothing
        site.backdate_first_sweep(300)  # the controller's clock is behind
        lost_row = site.slurm.start({"n2cn001": [0]})
        lost_stop = site.slurm.start({"n2cn001": [1]})
        codes.append(site.drain())
        site.clock.now += 60
        never_reported = site.slurm.start({"n2gpu01": [0]}, gpus={"n2gpu01": [1]}, partition="gpu")
        site.clock.now += 60
        for job in (lost_stop, never_reported):
            site.slurm.end(job)
        site.lose("new", "open")
        (key,) = (key for key in model.job if key[0] == lost_row)
        del model.job[key]
        codes += [site.sweep("apply"), site.sweep("apply"), site.sweep("plan")]

    states = {key[0]: row["jobState"] for key, row in model.job.items()}
    assert {lost_row: "running", lost_stop: "completed", never_reported: "completed"} == states
    held = 75 if version >= "1.5" else 0  # the stop waits until the job cache is committed
    assert [11, 0, held, 0, 0] == codes
    assert ["open"] == [*site.left()]
    note(Run(series, version, "sweep", len(states)))
