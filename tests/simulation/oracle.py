"""What must always hold (safety), and what must happen soon while nothing fails (progress)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simulation.availability import Availability
from simulation.backend import Row, VirtualBackend
from simulation.clock import VirtualClock
from simulation.disk import VirtualDisk
from simulation.site import Site
from simulation.truth import NEW_END_STATES, OLD_END_STATES, Run

FAST_SECONDS = 12.0  # from an event to the delivery while nothing fails
RECOVERY_SECONDS = 72.0  # from the last fault to the delivery
TOKEN_SECONDS = 15.0  # from the correction of the token
HOLD_SECONDS = 180.0
REQUEUE_SECONDS = 700.0  # two holds, a delete and a flush of the job cache
ALONE_SECONDS = 400.0  # until a run that a firewall rejects is sent without its texts
FACTS_SECONDS = 20.0  # without a fault: long enough to have asked Slurm
FUTURE_SECONDS = 290
RUN_DIRECTORIES = ("todo", "open", "dead")


class Violation(BaseException):  # not for the program to catch
    """A requirement that was violated."""


class Oracle:
    """A comparison of what happens with the true jobs of the site."""

    def __init__(
        self,
        site: Site,
        backend: VirtualBackend,
        disk: VirtualDisk,
        *,
        root: Path,
        availability: Availability,
        clock: VirtualClock,
    ) -> None:
        self._site = site
        self._backend = backend
        self._disk = disk
        self._availability = availability
        self._clock = clock
        self._paths = {name: root / name for name in ("new", *RUN_DIRECTORIES)}
        self._waiting: dict[tuple[int, int], Run] = {}
        self._directory_of = {str(path): name for name, path in self._paths.items()}
        observer = backend.observer
        observer.started, observer.stopped, observer.deleted = (
            self._started,
            self._stopped,
            self._deleted,
        )
        site.on_run = self._expect
        disk.on_added, disk.on_removed = self._added, self._removed

    # ---- safety

    def _expect(self, run: Run) -> None:
        if not run.is_excluded:
            self._waiting[run.key] = run

    def _started(self, row: Row) -> None:
        run = self._site.runs.get(row.key)
        if run is None:
            raise Violation(f"{row.key} was started and is no run (doubled)")
        if run.is_excluded:
            raise Violation(f"{row.key} was started and is not to be reported")
        if run.deleted_at is not None:
            raise Violation(f"{row.key} was started again after it was replaced")
        run.started_at = self._clock.steady
        for earlier in self._site.by_job[run.job_id]:  # cc-backend stores no earlier run after it
            earlier.is_optional |= earlier.start < run.start and earlier.started_at is None
        self._check_facts(run, row.document)

    def _check_facts(self, run: Run, found: dict[str, Any]) -> None:
        for name, value in run.document.items():
            if name == "resources":
                self._check_resources(run, value, found["resources"])
            elif name == "user":
                if found.get("user") not in {value, str(1000 + int(value.removeprefix("user")))}:
                    raise Violation(f"{run.key} user is {found.get('user')}, not {value}")
            elif found.get(name) != value and not self.facts_lost(run):
                raise Violation(
                    f"{run.key} {name} is {found.get(name)!r}, not {value!r} (wrong facts)"
                )

    def _check_resources(self, run: Run, wanted: Any, found: Any) -> None:
        wanted, found = (sorted(each, key=lambda r: r["hostname"]) for each in (wanted, found))
        if [each["hostname"] for each in wanted] != [each["hostname"] for each in found]:
            raise Violation(f"{run.key} has other hosts (wrong facts)")
        is_unknown = any(each["hostname"] in self._backend.faults.unknown_once for each in wanted)
        if wanted != found and not is_unknown and not self.facts_lost(run):
            raise Violation(f"{run.key} resources are {found}, not {wanted} (wrong facts)")

    def facts_lost(self, run: Run) -> bool:
        """Return whether Slurm could not be asked for the facts before it forgot them."""
        until = min(self._clock.steady, run.end_at + self._site.slurm.min_job_age)
        return not self._availability.was_available(
            run.start_at, until, FACTS_SECONDS, ("slurm", "process")
        )

    def _end_lost(self, run: Run) -> bool:
        """Return whether Slurm could not be asked for the end before it forgot it."""
        until = min(self._clock.steady, run.end_at + self._site.slurm.min_job_age)
        return not self._availability.was_available(
            run.end_at, until, FACTS_SECONDS, ("slurm", "process")
        )

    def _stopped(self, row: Row) -> None:
        run = self._site.runs.get(row.key)
        if run is None or run.end is None:
            raise Violation(f"{row.key} was stopped and runs (wrong end)")
        states = NEW_END_STATES if self._backend.is_new else OLD_END_STATES
        end = max(run.end, run.start)
        is_exact = abs((row.stop_time or 0) - end) <= 1 and row.state == states[run.state]
        is_inferred = self._end_lost(run) or (run.was_requeued and row.state == "cancelled")
        if not is_exact and not is_inferred:
            ours = f"{states[run.state]} at {run.end}"
            raise Violation(
                f"{row.key} ended as {row.state} at {row.stop_time}, not {ours} (wrong end)"
            )
        run.stopped_at = self._clock.steady

    def _deleted(self, row: Row) -> None:
        run = self._site.runs.get(row.key)
        if run is None or not run.is_optional or row.state == "running":
            raise Violation(f"{row.key} was deleted and is no earlier, ended run (lost)")
        run.deleted_at = self._clock.steady

    def _added(self, path: str, name: str) -> None:
        directory = self._directory_of.get(path)
        if directory == "dead":
            self._check_dead_letter(name)
        elif directory == "todo":
            self._note_stored(name)

    def _removed(self, path: str, name: str) -> None:
        directory = self._directory_of.get(path)
        if directory == "new":
            self._check_event_removed(name)
        elif directory in {"todo", "open"}:
            self._check_run_removed(name)

    def _note_stored(self, name: str) -> None:
        run = self._run_of(name)
        if run is not None and run.stored_at is None:
            run.stored_at = self._clock.steady

    def _check_dead_letter(self, name: str) -> None:
        run = self._run_of(name)
        if run is None or not (run.is_poison or run.is_forbidden):
            why = self._disk.names(self._paths["dead"]).get(name + ".why", b"").decode()
            contents = self._disk.names(self._paths["dead"])[name].decode("utf-8", "replace")
            raise Violation(f"{name} was moved to dead/ without a refusal: {why} {contents[-600:]}")

    def _check_event_removed(self, name: str) -> None:
        run = self._site.by_event.get(name)
        if run is None or run.is_excluded or run.is_optional or self._has_same_event(name, run):
            return
        stored = self._stored(run)
        if name.startswith("1-start") and run.started_at is None and stored is None:
            raise Violation(f"{name} was deleted, its run is neither stored nor delivered (lost)")
        has_end = stored is not None and b'"end":{' in stored
        if name.startswith("1-stop") and run.stopped_at is None and not has_end:
            raise Violation(
                f"{name} was deleted, its run's end is neither stored nor delivered (lost)"
            )

    def _has_same_event(self, name: str, run: Run) -> bool:
        """Return whether `new/` has another event of the same kind for the run."""
        kind = name.split("-")[1]
        others = (each for each in self._disk.names(self._paths["new"]) if each != name)
        return any(
            self._site.by_event.get(each) is run and each.split("-")[1] == kind for each in others
        )

    def _check_run_removed(self, name: str) -> None:
        run = self._run_of(name)
        if run is None or run.is_excluded or run.is_optional or run.stopped_at is not None:
            return
        if self._stored(run) is None:
            raise Violation(f"{name} was deleted and is not delivered (lost)")

    def _stored(self, run: Run) -> bytes | None:
        """Return the contents of a run's file that survive a power cut."""
        found = (self._disk.durable(self._paths[each], run.name) for each in RUN_DIRECTORIES)
        return next((contents for contents in found if contents is not None), None)

    def _run_of(self, name: str) -> Run | None:
        job_id, _, start = name.removesuffix(".json").partition("-")
        return self._site.runs.get((int(job_id), int(start))) if start.isdecimal() else None

    # ---- progress

    def check_progress(self) -> None:
        """Check that every delivery that is due has been made.

        Raises:
            Violation: nothing fails, and a delivery was not made in time.
        """
        now = self._clock.steady
        for key, run in list(self._waiting.items()):
            if run.stopped_at is not None or run.deleted_at is not None:
                del self._waiting[key]
            elif run.is_poison or run.is_silent:
                continue
            elif max(run.start, run.end or 0) > self._clock.wall() + FUTURE_SECONDS:
                run.future_until = now  # the clock is wrong: the drain does not deliver it yet
            elif run.started_at is None:
                self._check_start(run, now)
            elif run.end is not None:
                self._check_stop(run, now)

    def _check_start(self, run: Run, now: float) -> None:
        is_stored = self._disk.durable(self._paths["todo"], run.name) is not None
        parts = {"backend", "starts", "process"} | self._needs(run, is_stored=is_stored)
        allowed = FAST_SECONDS
        if run.requeued or run.was_requeued:  # the run before it is stopped first
            allowed += REQUEUE_SECONDS
            parts |= {"stops", "slurm"}
        if run.is_forbidden:
            allowed += ALONE_SECONDS
        at = run.stored_at if is_stored and run.stored_at is not None else run.start_at
        late = run.future_until + RECOVERY_SECONDS
        deadline = max(at + allowed, self._recovered(parts) + allowed - FAST_SECONDS, late)
        if now > deadline and not run.is_optional:
            raise Violation(
                f"{run.key} began at {run.start_at:.1f} and is not started at cc-backend"
            )

    def _check_stop(self, run: Run, now: float) -> None:
        stored = self._disk.durable(self._paths["todo"], run.name)
        has_end = stored is not None and b'"end":{' in stored
        parts = {"backend", "stops", "process"} | self._needs(run, is_stored=has_end)
        hold = HOLD_SECONDS if self._backend.is_new else 0.0
        allowed = FAST_SECONDS + self._site.slurm.accounting_delay
        if run.requeued or run.was_requeued:
            allowed += REQUEUE_SECONDS
        due = max(run.end_at, run.stored_at or 0.0, (run.started_at or 0.0) + hold)
        if (run.end or 0) <= run.start:  # the clock was set: the hold counts from the end
            due += hold
        deadline = max(due + allowed, self._recovered(parts))
        late = max(run.future_until, (run.started_at or 0.0) + hold)
        deadline = max(deadline, late + RECOVERY_SECONDS)
        if now > deadline:
            raise Violation(f"{run.key} ended at {run.end_at:.1f} and is not stopped at cc-backend")

    def _recovered(self, parts: set[str]) -> float:
        """Return when everything that waited for some parts of the world must be delivered."""
        return max(
            self._availability.since(parts) + RECOVERY_SECONDS,
            self._availability.since({"token"}) + TOKEN_SECONDS,
        )

    def _needs(self, run: Run, *, is_stored: bool) -> set[str]:
        """Return which parts of the world a run needs besides cc-backend."""
        parts = set() if is_stored else {"slurm"}
        if run.host in self._backend.faults.unknown_once:
            parts.add("hosts")
        return parts | ({"names", "texts"} if run.is_nameless else set())

    # ---- the end

    def check_end(self) -> None:
        """Compare cc-backend with the truth when all must have been delivered.

        Raises:
            Violation: they differ.
        """
        for run in self._site.runs.values():
            if run.is_excluded or run.is_poison or run.is_silent or run.is_optional:
                continue
            row = self._backend.row(run.key)
            if row is None and run.started_at is not None:
                raise Violation(f"{run.key} is not at cc-backend (lost)")
            if row is not None and run.script and not self._texts_lost(run):
                has = row.document.get("metaData", {}).get("jobScript")
                if has != run.script:
                    raise Violation(
                        f"{run.key} script is {has!r}, not {run.script!r} (wrong facts)"
                    )

    def _texts_lost(self, run: Run) -> bool:
        """Return whether the script could not be read in time."""
        parts = ("slurm", "process", "texts", "backend", "token", "starts", "names")
        until = run.start_at + FACTS_SECONDS + 5.0
        is_healthy = self._availability.was_available(run.start_at, until, FACTS_SECONDS, parts)
        return run.is_forbidden or run.requeued or not is_healthy
