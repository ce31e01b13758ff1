"""Situations in the course of a job: waiting, ends, requeues, purging, many at once."""

from __future__ import annotations

from slurm_recorder.scenario_run import ASKING, Scenario, ScenarioRun


def _lifecycle(run: ScenarioRun) -> None:
    script = "srun -n1 true\nsleep 6"
    job = run.sbatch("-n", "3", "-t", "10", "-J", "life", "-H", script=script)
    run.now("1-pending")
    run.do("scontrol", "release", str(job))
    run.running(job)
    run.now("2-running")
    run.slow_epilog()
    run.wait(job, "COMPLETING")
    run.now("3-completing")
    run.wait(job, "COMPLETED")
    run.now("4-completed")


def _array(run: ScenarioRun) -> None:
    job = run.sbatch("--array=1-6%3", "-n", "1", "-J", "arr", script="sleep 8")
    run.until(job, 3, "RUNNING")
    run.now()
    run.ended()


def _held_array(run: ScenarioRun) -> None:
    job = run.sbatch("--array=0-40:5,77%2", "-n", "1", "-J", "arrheld", "-H", script="sleep 8")
    run.now()
    run.do("scancel", f"{job}_10", user="alice")
    run.now("one-cancelled")


def _two_partitions(run: ScenarioRun) -> None:
    job = run.sbatch("-p", "low,cpu", "-n", "1", "-J", "twoparts", "-H", script="sleep 5")
    run.now("1-pending")
    run.do("scontrol", "release", str(job))
    run.running(job)
    run.now("2-running")


def _ended(name: str, *options: str, script: str, states: tuple[str, ...]) -> Scenario:
    """Return the scenario of a job that is recorded after its end."""

    def play(run: ScenarioRun) -> None:
        run.wait(run.sbatch(*options, script=script), *states, timeout=180)
        run.now()

    return Scenario(name=name, play=play)


def _cancelled(*, is_pending: bool) -> Scenario:
    """Return the scenario of a job that is cancelled."""

    def play(run: ScenarioRun) -> None:
        hold = ("-H",) if is_pending else ()
        name = "canp" if is_pending else "canr"
        job = run.sbatch("-n", "1", *hold, "-J", name, script="sleep 600")
        if not is_pending:
            run.running(job)
        run.do("scancel", str(job), user="alice")
        run.wait(job, "CANCELLED")
        run.now()

    return Scenario(name="cancelled-pending" if is_pending else "cancelled-running", play=play)


def _node_fails(*, requeue: bool) -> Scenario:
    """Return the scenario of a job that loses a node."""

    def play(run: ScenarioRun) -> None:
        option = "--requeue" if requeue else "--no-requeue"
        nodes = ("-N", "2", "-n", "4", "-w", "n2cn[003-004]")
        job = run.sbatch(option, *nodes, "-J", "nodefail", script="sleep 600")
        run.running(job)
        run.note("(slurmd of n2cn003 killed)")
        run.lab.nodes["n2cn003"].kill()
        run.do("scontrol", "update", "nodename=n2cn003", "state=down", "reason=broken")
        run.wait(job, *(("PENDING",) if requeue else ("NODE_FAIL",)))
        run.now()
        run.do("scancel", str(job))
        run.lab.nodes["n2cn003"].start()
        run.ended()

    return Scenario(name="node-fail-requeue" if requeue else "node-fail", play=play)


def _preempted(*, requeue: bool) -> Scenario:
    """Return the scenario of a job that is preempted."""

    def play(run: ScenarioRun) -> None:
        option = "--requeue" if requeue else "--no-requeue"
        wide = ("-N", "4", "--exclusive")
        job = run.sbatch("-p", "low", *wide, option, "-J", "lowprio", script="sleep 600")
        run.running(job)
        urgent = ("-p", "cpu", *wide, "-t", "5", "-J", "urgent")
        other = run.sbatch(*urgent, script="sleep 8", user="bob")
        run.running(other)
        run.now()
        if requeue:
            run.wait(other, "COMPLETED")
            run.lab.jobs.start_now(job)
            run.now("second-run")
            run.do("scancel", str(job), user="alice")
            run.ended()

    return Scenario(name="preempted-requeued" if requeue else "preempted-cancelled", play=play)


def _suspended(run: ScenarioRun) -> None:
    job = run.sbatch("-n", "2", "-J", "susp", script="srun -n1 true\nsleep 10")
    run.running(job)
    run.do("scontrol", "suspend", str(job))
    run.wait(job, "SUSPENDED")
    run.now()
    run.do("scontrol", "resume", str(job))
    run.running(job)
    run.now("resumed")
    run.ended()


def _resized(run: ScenarioRun) -> None:
    job = run.sbatch("-N", "3", "-n", "3", "-J", "shrink", script="sleep 10")
    run.running(job)
    run.do("scontrol", "update", f"JobId={job}", "NumNodes=1", user="alice")
    run.now()
    run.ended()


def _estimate(run: ScenarioRun) -> None:
    wide = ("-N", "4", "--exclusive", "-t", "10", "-J", "filler")
    run.running(run.sbatch(*wide, script="sleep 600", user="bob"))
    job = run.sbatch("-N", "2", "-n", "8", "-t", "5", "-J", "waits", script="sleep 600")
    run.about(job)
    run.estimated(job)
    run.now()
    run.keep("squeue-start.txt", "squeue", "--start")


def _reasons(run: ScenarioRun) -> None:
    job = run.sbatch("-n", "1", "-H", "-J", "userhold", script="sleep 600")
    run.sbatch("-n", "1", "--begin=now+1hour", "-J", "begin")
    run.sbatch("-n", "1", f"--dependency=afterok:{job}", "-J", "dep")
    held = run.sbatch("-n", "1", "-H", "-J", "adminhold")
    run.do("scontrol", "hold", str(held))
    run.now()


def _purged(run: ScenarioRun) -> None:
    job = run.sbatch("-n", "1", "-J", "purged", script="srun -n1 true\nsleep 1")
    run.running(job)
    run.gone(job)
    run.now()


def _completing(*, partly: bool) -> Scenario:
    """Return the scenario of a job that stays in COMPLETING."""

    def play(run: ScenarioRun) -> None:
        run.slow_epilog("n2cn002" if partly else "")
        nodes = ("-N", "3", "-n", "6", "-w", "n2cn[001-003]") if partly else ("-N", "2", "-n", "4")
        name = "cgpart" if partly else "cg"
        job = run.sbatch(*nodes, "-J", name, script="sleep 1")
        run.wait(job, "COMPLETING")
        if partly:
            run.left(job, 1)
        run.now()
        run.ended()

    return Scenario(name="completing-partial" if partly else "completing", play=play)


def _many(run: ScenarioRun) -> None:
    done = run.sbatch("-n", "1", "-J", "done", script="srun -n1 true")
    failed = run.sbatch("-n", "1", "-J", "failed", script="exit 7")
    wide = ("-N", "2", "--exclusive", "-w", "n2cn[003-004]", "-J", "excl")
    excl = run.sbatch(*wide, script="sleep 600")
    run.sbatch("-n", "3", "-w", "n2cn001", "-J", "shared-a")
    shared = ("-n", "7", "-w", "n2cn001", "-J", "shared-b", "-t", "2-03:04:05")
    run.sbatch(*shared, script="sleep 600", user="bob")
    run.sbatch("-p", "gpu", "--gres=gpu:a100:2", "-n", "1", "-J", "gpu")
    array = ("--array=0-9%2", "-n", "1", "-w", "n2cn002", "-J", "array")
    tasks = run.sbatch(*array, user="bob")
    run.sbatch("-n", "1", "-J", "het", ":", "-n", "1", "-p", "gpu")
    suspended = run.sbatch("-n", "2", "-J", "suspended")
    run.sbatch("-n", "1", "-J", "hold", "-H")
    run.sbatch("-N", "4", "--exclusive", "-t", "30", "-J", "waits")
    cancelled = run.sbatch("-n", "1", "-J", "cancelled")
    run.running(excl, suspended, cancelled)
    run.until(tasks, 2, "RUNNING")
    run.wait(done, "COMPLETED")
    run.wait(failed, "FAILED")
    run.do("scontrol", "suspend", str(suspended))
    run.do("scancel", str(cancelled))
    run.wait(cancelled, "CANCELLED")
    run.slow_epilog()
    run.wait(run.sbatch("-n", "1", "-J", "completing", script="sleep 0"), "COMPLETING")
    run.now()


def _filters(run: ScenarioRun) -> None:
    first = run.sbatch("-n", "1", "-J", "first", script="sleep 10")
    second = run.sbatch("-n", "1", "-J", "second", script="sleep 10", user="bob")
    run.sbatch("-n", "1", "-J", "held", "-H")
    over = run.sbatch("-n", "1", "-J", "over", script="sleep 0", user="bob")
    run.running(first, second)
    run.wait(over, "COMPLETED")
    asked = {
        "squeue.json": (),
        "squeue-all.json": ("--states=all",),
        "squeue-job.json": ("-j", str(first)),
        "squeue-jobs.json": ("-j", f"{first},{over}"),
        "squeue-states-R.json": ("-t", "R"),
        "squeue-user.json": ("-u", "bob"),
        "squeue-unknown.json": ("-j", "999999"),
    }
    for name, options in asked.items():
        run.keep(name, "squeue", "--json", *options)
    run.keep("scontrol-unknown.txt", "scontrol", "show", "job", "-d", "999999")


def _from_hooks(run: ScenarioRun) -> None:
    """Record what the commands print while the hooks of the same job run."""
    run.note("(PrologSlurmctld and EpilogSlurmctld run squeue, scontrol and sacct themselves)")
    script = "srun -n4 true\nsleep 3"
    run.wait(run.sbatch("-N", "2", "-n", "4", "-J", "asked", script=script), "COMPLETED")


JOB_SCENARIOS = [
    Scenario(name="lifecycle", play=_lifecycle),
    Scenario(name="array-running-pending", play=_array),
    Scenario(name="array-pending", play=_held_array),
    Scenario(name="multi-partition", play=_two_partitions),
    _ended("very-short", "-n", "1", "-J", "short", script="sleep 0", states=("COMPLETED",)),
    _ended("failed-exit3", "-n", "1", "-J", "fail", script="exit 3", states=("FAILED",)),
    _ended("timeout", "-n", "1", "-t", "1", "-J", "tout", script="sleep 600", states=("TIMEOUT",)),
    _cancelled(is_pending=False),
    _cancelled(is_pending=True),
    _node_fails(requeue=False),
    _node_fails(requeue=True),
    _preempted(requeue=True),
    _preempted(requeue=False),
    Scenario(name="suspended", play=_suspended),
    Scenario(name="resized", play=_resized),
    Scenario(name="pending-start-estimate", play=_estimate),
    Scenario(name="pending-reasons", play=_reasons),
    Scenario(name="purged", play=_purged, options={"MinJobAge": "2"}),
    _completing(partly=False),
    _completing(partly=True),
    Scenario(name="many-states", play=_many),
    Scenario(name="squeue-filters", play=_filters),
    Scenario(name="from-prolog", play=_from_hooks, options=ASKING),
]
