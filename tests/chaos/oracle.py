"""Judge a world: the server must have every run exactly once, with all facts, and nothing else.

The oracle knows the jobs as Slurm had them and computes independently what must be delivered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from chaos.backend_rules import Row
from chaos.harness import World
from chaos.injection import wait_for
from chaos.job import Run, holds_whole_node

FIRST_LOOK_SECONDS = 2.0


class Verdict(list[str]):
    """A list of complaints; it is empty if nothing is wrong."""

    def __str__(self) -> str:
        """Return the first complaints and how many there are."""
        return f"{len(self)} complaints:\n" + "\n".join(self[:20])


def judge(world: World, *, is_quiet: bool = True) -> Verdict:
    """Return what is wrong now; `is_quiet`: nothing may be pending any more."""
    verdict = Verdict(world.complaints)
    with world.backend.rules.lock:
        world.backend.rules.commit()
        rows = tuple(world.backend.rules.rows)
    by_key: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        by_key.setdefault((row.document["jobId"], row.document["startTime"]), []).append(row)
    for run in world.runs:
        found = by_key.pop(run.key, [])
        if run.job_id not in world.refused:
            verdict += _of_run(world, run, found)
    verdict += [f"row {key} is of no run" for key in by_key]
    verdict += _of_dead(world)
    if world.drain is not None and world.drain.poll() is not None:
        verdict.append(f"the drain has ended with {world.drain.poll()}")
    if is_quiet:
        verdict += _of_waiting(world)
    if world.backend.rules.wrong_stops:
        verdict.append(f"{world.backend.rules.wrong_stops} stops came too early: wrong rows closed")
    return verdict


def settle(world: World, seconds: float, *, passing: float = 0.0) -> Verdict:
    """Wait until nothing is wrong; return what is wrong after that time.

    The clocks are moved ahead by `passing` seconds in steps of ten, so that retries become due.
    """
    wait_for(lambda: not judge(world), FIRST_LOOK_SECONDS if passing else seconds)
    while passing > 0 and judge(world):
        world.let_pass(10, pause=0.2)
        passing -= 10
    wait_for(lambda: not judge(world), seconds)
    return judge(world)


def kinds(verdict: Sequence[str]) -> dict[str, int]:
    """Count complaints: lost, doubled, wrong facts, others."""
    counts = {"lost": 0, "doubled": 0, "wrong facts": 0, "others": 0}
    for text in verdict:
        counts[_kind(text)] += 1
    return counts


def _kind(text: str) -> str:
    if text.endswith("lost"):
        return "lost"
    if text.endswith(("doubled", "of no run")):
        return "doubled"
    return "wrong facts" if " instead of " in text else "others"


def _of_run(world: World, run: Run, found: list[Row]) -> Iterator[str]:
    name = f"job {run.job_id} ({run.start}):"
    if not found:
        yield f"{name} lost"
        return
    if len(found) > 1:
        yield f"{name} doubled"
    row, is_old = found[0], world.backend.rules.is_old
    for field, wanted in run.facts(is_old=is_old).items():
        if row.document.get(field) != wanted:
            yield f"{name} {field} is {row.document.get(field)!r} instead of {wanted!r}"
    yield from _of_resources(name, run, row.document.get("resources") or [])
    meta = row.document.get("metaData") or {}
    yield from _of_meta(name, run, meta)
    if world.with_descriptions and not meta.get("slurmInfo", "").startswith(f"JobId={run.job_id} "):
        yield f"{name} slurmInfo is {meta.get('slurmInfo', '')[:60]!r} instead of Slurm's text"
    ended = (run.state_at(is_old=is_old), run.stop_time)
    if (row.state, row.stop_time) != ended:
        yield f"{name} end is {(row.state, row.stop_time)} instead of {ended}"


def _of_resources(name: str, run: Run, resources: list[dict[str, Any]]) -> Iterator[str]:
    wanted = run.resources()
    hosts = [each["hostname"] for each in resources]
    if hosts != list(run.nodes):
        yield f"{name} hosts is {hosts} instead of {list(run.nodes)}"
        return
    for have, want in zip(resources, wanted, strict=True):
        may_miss = holds_whole_node(run.cores[want["hostname"]])
        if have.get("hwthreads") != want["hwthreads"] and not (
            may_miss and "hwthreads" not in have
        ):
            yield f"{name} hwthreads is {have.get('hwthreads')} instead of {want['hwthreads']}"
        if have.get("accelerators", []) != want["accelerators"]:
            have_them, want_them = have.get("accelerators"), want["accelerators"]
            yield f"{name} accelerators is {have_them} instead of {want_them}"


def _of_meta(name: str, run: Run, meta: dict[str, str]) -> Iterator[str]:
    if meta.get("jobName") != run.name:
        yield f"{name} jobName is {meta.get('jobName')!r} instead of {run.name!r}"
    if meta.get("jobScript") != run.script:
        yield f"{name} jobScript is {meta.get('jobScript')!r} instead of {run.script!r}"


def _of_dead(world: World) -> Iterator[str]:
    """Yield complaints about dead letters that the server has not rejected."""
    for path in world.files("dead"):
        parts = path.name.replace(".", "-").split("-")
        ids = {int(part) for part in parts if part.isdigit()}
        if not ids & world.refused:
            yield f"dead/{path.name} was not refused by the server"


def _of_waiting(world: World) -> Iterator[str]:
    """Yield complaints about pending events and runs, and about open runs that have ended."""
    live = {run.job_id for run in world.runs if run.end is None}
    for directory in ("new", "todo", "open"):
        for path in world.files(directory):
            parts = path.name.replace(".", "-").split("-")
            job_id = next((int(part) for part in parts if part.isdigit() and part != "1"), 0)
            is_fine = directory == "open" and job_id in live
            if not is_fine and job_id not in world.refused:
                yield f"{directory}/{path.name} waits"
