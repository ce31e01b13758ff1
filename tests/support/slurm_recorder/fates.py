"""Situations about what becomes of a job: waiting, ends, requeues, purging, many at once."""

from __future__ import annotations

from slurm_recorder.stage import ASKING, Scenario, Stage


def _lifecycle(stage: Stage) -> None:
    script = "srun -n1 true\nsleep 6"
    job = stage.sbatch("-n", "3", "-t", "10", "-J", "life", "-H", script=script)
    stage.now("1-pending")
    stage.do("scontrol", "release", str(job))
    stage.running(job)
    stage.now("2-running")
    stage.slow_epilog()
    stage.wait(job, "COMPLETING")
    stage.now("3-completing")
    stage.wait(job, "COMPLETED")
    stage.now("4-completed")


def _array(stage: Stage) -> None:
    job = stage.sbatch("--array=1-6%3", "-n", "1", "-J", "arr", script="sleep 8")
    stage.until(job, 3, "RUNNING")
    stage.now()
    stage.ended()


def _held_array(stage: Stage) -> None:
    job = stage.sbatch("--array=0-40:5,77%2", "-n", "1", "-J", "arrheld", "-H", script="sleep 8")
    stage.now()
    stage.do("scancel", f"{job}_10", user="alice")
    stage.now("one-cancelled")


def _two_partitions(stage: Stage) -> None:
    job = stage.sbatch("-p", "low,cpu", "-n", "1", "-J", "twoparts", "-H", script="sleep 5")
    stage.now("1-pending")
    stage.do("scontrol", "release", str(job))
    stage.running(job)
    stage.now("2-running")


def _over(name: str, *options: str, script: str, states: tuple[str, ...]) -> Scenario:
    """Return a job that is recorded when it is over."""

    def play(stage: Stage) -> None:
        stage.wait(stage.sbatch(*options, script=script), *states, timeout=180)
        stage.now()

    return Scenario(name=name, play=play)


def _cancelled(*, is_pending: bool) -> Scenario:
    """Return a job that is cancelled."""

    def play(stage: Stage) -> None:
        hold = ("-H",) if is_pending else ()
        name = "canp" if is_pending else "canr"
        job = stage.sbatch("-n", "1", *hold, "-J", name, script="sleep 600")
        if not is_pending:
            stage.running(job)
        stage.do("scancel", str(job), user="alice")
        stage.wait(job, "CANCELLED")
        stage.now()

    return Scenario(name="cancelled-pending" if is_pending else "cancelled-running", play=play)


def _node_fails(*, requeue: bool) -> Scenario:
    """Return a job that loses a node."""

    def play(stage: Stage) -> None:
        option = "--requeue" if requeue else "--no-requeue"
        nodes = ("-N", "2", "-n", "4", "-w", "n2cn[003-004]")
        job = stage.sbatch(option, *nodes, "-J", "nodefail", script="sleep 600")
        stage.running(job)
        stage.note("(slurmd of n2cn003 killed)")
        stage.lab.nodes["n2cn003"].kill()
        stage.do("scontrol", "update", "nodename=n2cn003", "state=down", "reason=broken")
        stage.wait(job, *(("PENDING",) if requeue else ("NODE_FAIL",)))
        stage.now()
        stage.do("scancel", str(job))
        stage.lab.nodes["n2cn003"].start()
        stage.ended()

    return Scenario(name="node-fail-requeue" if requeue else "node-fail", play=play)


def _preempted(*, requeue: bool) -> Scenario:
    """Return a job that has to make room."""

    def play(stage: Stage) -> None:
        option = "--requeue" if requeue else "--no-requeue"
        wide = ("-N", "4", "--exclusive")
        job = stage.sbatch("-p", "low", *wide, option, "-J", "lowprio", script="sleep 600")
        stage.running(job)
        urgent = ("-p", "cpu", *wide, "-t", "5", "-J", "urgent")
        other = stage.sbatch(*urgent, script="sleep 8", user="bob")
        stage.running(other)
        stage.now()
        if requeue:
            stage.wait(other, "COMPLETED")
            stage.lab.jobs.start_now(job)
            stage.now("second-run")
            stage.do("scancel", str(job), user="alice")
            stage.ended()

    return Scenario(name="preempted-requeued" if requeue else "preempted-cancelled", play=play)


def _suspended(stage: Stage) -> None:
    job = stage.sbatch("-n", "2", "-J", "susp", script="srun -n1 true\nsleep 10")
    stage.running(job)
    stage.do("scontrol", "suspend", str(job))
    stage.wait(job, "SUSPENDED")
    stage.now()
    stage.do("scontrol", "resume", str(job))
    stage.running(job)
    stage.now("resumed")
    stage.ended()


def _resized(stage: Stage) -> None:
    job = stage.sbatch("-N", "3", "-n", "3", "-J", "shrink", script="sleep 10")
    stage.running(job)
    stage.do("scontrol", "update", f"JobId={job}", "NumNodes=1", user="alice")
    stage.now()
    stage.ended()


def _estimate(stage: Stage) -> None:
    wide = ("-N", "4", "--exclusive", "-t", "10", "-J", "filler")
    stage.running(stage.sbatch(*wide, script="sleep 600", user="bob"))
    job = stage.sbatch("-N", "2", "-n", "8", "-t", "5", "-J", "waits", script="sleep 600")
    stage.about(job)
    stage.estimated(job)
    stage.now()
    stage.keep("squeue-start.txt", "squeue", "--start")


def _reasons(stage: Stage) -> None:
    job = stage.sbatch("-n", "1", "-H", "-J", "userhold", script="sleep 600")
    stage.sbatch("-n", "1", "--begin=now+1hour", "-J", "begin")
    stage.sbatch("-n", "1", f"--dependency=afterok:{job}", "-J", "dep")
    held = stage.sbatch("-n", "1", "-H", "-J", "adminhold")
    stage.do("scontrol", "hold", str(held))
    stage.now()


def _purged(stage: Stage) -> None:
    job = stage.sbatch("-n", "1", "-J", "purged", script="srun -n1 true\nsleep 1")
    stage.running(job)
    stage.gone(job)
    stage.now()


def _completing(*, partly: bool) -> Scenario:
    """Return a job whose nodes are slow to be released."""

    def play(stage: Stage) -> None:
        stage.slow_epilog("n2cn002" if partly else "")
        nodes = ("-N", "3", "-n", "6", "-w", "n2cn[001-003]") if partly else ("-N", "2", "-n", "4")
        name = "cgpart" if partly else "cg"
        job = stage.sbatch(*nodes, "-J", name, script="sleep 1")
        stage.wait(job, "COMPLETING")
        if partly:
            stage.left(job, 1)
        stage.now()
        stage.ended()

    return Scenario(name="completing-partial" if partly else "completing", play=play)


def _many(stage: Stage) -> None:
    done = stage.sbatch("-n", "1", "-J", "done", script="srun -n1 true")
    failed = stage.sbatch("-n", "1", "-J", "failed", script="exit 7")
    wide = ("-N", "2", "--exclusive", "-w", "n2cn[003-004]", "-J", "excl")
    excl = stage.sbatch(*wide, script="sleep 600")
    stage.sbatch("-n", "3", "-w", "n2cn001", "-J", "shared-a")
    shared = ("-n", "7", "-w", "n2cn001", "-J", "shared-b", "-t", "2-03:04:05")
    stage.sbatch(*shared, script="sleep 600", user="bob")
    stage.sbatch("-p", "gpu", "--gres=gpu:a100:2", "-n", "1", "-J", "gpu")
    array = ("--array=0-9%2", "-n", "1", "-w", "n2cn002", "-J", "array")
    tasks = stage.sbatch(*array, user="bob")
    stage.sbatch("-n", "1", "-J", "het", ":", "-n", "1", "-p", "gpu")
    suspended = stage.sbatch("-n", "2", "-J", "suspended")
    stage.sbatch("-n", "1", "-J", "hold", "-H")
    stage.sbatch("-N", "4", "--exclusive", "-t", "30", "-J", "waits")
    cancelled = stage.sbatch("-n", "1", "-J", "cancelled")
    stage.running(excl, suspended, cancelled)
    stage.until(tasks, 2, "RUNNING")
    stage.wait(done, "COMPLETED")
    stage.wait(failed, "FAILED")
    stage.do("scontrol", "suspend", str(suspended))
    stage.do("scancel", str(cancelled))
    stage.wait(cancelled, "CANCELLED")
    stage.slow_epilog()
    stage.wait(stage.sbatch("-n", "1", "-J", "completing", script="sleep 0"), "COMPLETING")
    stage.now()


def _filters(stage: Stage) -> None:
    first = stage.sbatch("-n", "1", "-J", "first", script="sleep 10")
    second = stage.sbatch("-n", "1", "-J", "second", script="sleep 10", user="bob")
    stage.sbatch("-n", "1", "-J", "held", "-H")
    over = stage.sbatch("-n", "1", "-J", "over", script="sleep 0", user="bob")
    stage.running(first, second)
    stage.wait(over, "COMPLETED")
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
        stage.keep(name, "squeue", "--json", *options)
    stage.keep("scontrol-unknown.txt", "scontrol", "show", "job", "-d", "999999")


def _from_hooks(stage: Stage) -> None:
    """Record what the commands say while the hooks of the very job run."""
    stage.note("(PrologSlurmctld and EpilogSlurmctld run squeue, scontrol and sacct themselves)")
    script = "srun -n4 true\nsleep 3"
    stage.wait(stage.sbatch("-N", "2", "-n", "4", "-J", "asked", script=script), "COMPLETED")


FATES = [
    Scenario(name="lifecycle", play=_lifecycle),
    Scenario(name="array-running-pending", play=_array),
    Scenario(name="array-pending", play=_held_array),
    Scenario(name="multi-partition", play=_two_partitions),
    _over("very-short", "-n", "1", "-J", "short", script="sleep 0", states=("COMPLETED",)),
    _over("failed-exit3", "-n", "1", "-J", "fail", script="exit 3", states=("FAILED",)),
    _over("timeout", "-n", "1", "-t", "1", "-J", "tout", script="sleep 600", states=("TIMEOUT",)),
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
