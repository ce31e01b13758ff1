"""Jobs of all shapes, made from a seed: cores, GPUs, several nodes, arrays, sharing, scripts."""

from __future__ import annotations

import random
from typing import Any

from chaos import site_facts
from chaos.job import Run

END_STATES = ("COMPLETED", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


class Shapes:
    """A generator of runs; the same seed gives the same runs."""

    def __init__(self, seed: int = 0, first_id: int = 1001) -> None:
        self.random = random.Random(seed)
        self._next_id = first_id

    def new_id(self) -> int:
        """Return an id that no job has."""
        self._next_id += 1
        return self._next_id - 1

    def end_state(self) -> str:
        """Return a random end state."""
        return self.random.choice(END_STATES)

    def run(self, start: int, **wishes: Any) -> Run:
        """Return a run with this start time; `wishes` are some of its fields."""
        user = self.random.choice(sorted(site_facts.USERS))
        uid, account = site_facts.USERS[user]
        job_id = wishes.pop("job_id", None) or self.new_id()
        nodes, kind = self._nodes(wishes.pop("nodes", None))
        sharing = self.random.choice(("none", "user", "ok", "ok", "ok"))
        cores = {
            node: tuple(range(site_facts.CORES)) if sharing == "none" else self._some_cores()
            for node in nodes
        }
        gpus = {node: self._some_gpus() for node in nodes if kind == "gpu"}
        made: dict[str, Any] = {
            "job_id": job_id,
            "name": f"job-{job_id}",
            "user": user,
            "uid": uid,
            "account": account,
            "partition": kind,
            "cores": cores,
            "gpus": gpus,
            "sharing": sharing,
            "limit_minutes": self.random.choice((10, 60, 1440)),
            "submit": start - 5,
            "start": start,
            "script": f"#!/bin/sh\n# script of {job_id}\nsleep {job_id}\n",
        }
        return Run(**(made | wishes))

    def _nodes(self, wanted: tuple[str, ...] | None) -> tuple[tuple[str, ...], str]:
        if wanted is not None:
            return wanted, "gpu" if wanted[0].startswith("g") else "cpu"
        if self.random.random() < 0.3:
            first = self.random.choice(site_facts.GPU_NODES)
            return (first,), "gpu"
        count = self.random.choice((1, 1, 1, 2, 3))
        first_index = self.random.randrange(len(site_facts.CPU_NODES) - count)
        return site_facts.CPU_NODES[first_index : first_index + count], "cpu"

    def _some_cores(self) -> tuple[int, ...]:
        count = self.random.randrange(1, site_facts.CORES)
        return tuple(sorted(self.random.sample(range(site_facts.CORES), count)))

    def _some_gpus(self) -> tuple[int, ...]:
        count = self.random.randrange(1, len(site_facts.GPUS) + 1)
        return tuple(sorted(self.random.sample(range(len(site_facts.GPUS)), count)))
