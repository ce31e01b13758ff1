"""Situations about what a job holds: nodes, cores, GPUs, sharing, limits, names."""

from __future__ import annotations

from slurm_recorder.recording_writer import ACCOUNTING_FIELDS, FIELDS
from slurm_recorder.scenario_run import Scenario, ScenarioRun

WEIRD_NAME = "Bär \"q\" 'a' |p\\b\nline2\tτ=½ %j ☃"
WEIRD_COMMENT = 'c1|c2 "x"=\'y\' ä\\n\nzweite Zeile; $HOME `id` {"k": [1]} 😀'
UNTYPED = (
    ("Gres=gpu:a100:4", "Gres=gpu:4"),
    ("Type=a100 ", ""),
    ("gres/gpu,gres/gpu:a100", "gres/gpu"),
)
MIXED = (
    ("Gres=gpu:a100:4", "Gres=gpu:a100:2,gpu:a40:2"),
    ("Type=a100 File={root}/dev/nvidia[2-3]", "Type=a40 File={root}/dev/nvidia[2-3]"),
    ("gres/gpu,gres/gpu:a100", "gres/gpu,gres/gpu:a100,gres/gpu:a40"),
)


def _one(*options: str, script: str = "srun -n1 true\nsleep 4") -> Scenario:
    """Return the scenario of one job that is recorded while it runs and after its end."""
    name = options[0]

    def play(run: ScenarioRun) -> None:
        run.running(run.sbatch(*options[1:], script=script))
        run.now()
        run.ended()

    return Scenario(name=name, play=play)


def _two_cores(run: ScenarioRun) -> None:
    script = "srun -n1 true\nsleep 6"
    run.sbatch("-n", "1", "-w", "n2cn001", "-J", "one", script=script)
    run.sbatch("-n", "1", "-w", "n2cn001", "-J", "two", script=script, user="bob")
    run.running()
    run.now()
    run.ended()


def _sockets(*, blocks: bool) -> Scenario:
    """Return the scenario of jobs that share the sockets of a node, cyclic or block by block."""
    spread = ("-m", "block:block") if blocks else ()

    def play(run: ScenarioRun) -> None:
        on_first = (*spread, "-w", "n2cn001")
        run.sbatch("-n", "8", *on_first, "-J", "socket0", script="sleep 6")
        run.sbatch("-n", "5", *on_first, "-J", "socket1", script="sleep 6", user="bob")
        per_socket = "2" if blocks else "1"
        shape = (f"--ntasks-per-socket={per_socket}", "--sockets-per-node=2", "-w", "n2cn002")
        count, name = ("4", "twobytwo") if blocks else ("2", "bothsockets")
        run.sbatch("-n", count, *spread, *shape, "-J", name)
        run.running()
        run.now()
        run.ended()

    return Scenario(name="block-sockets" if blocks else "two-sockets", play=play)


def _uneven(run: ScenarioRun) -> None:
    filler = run.sbatch("-n", "6", "-w", "n2cn002", "-J", "filler", script="sleep 7", user="bob")
    run.running(filler)
    nodes = ("-w", "n2cn[002,004]", "-N", "2", "--exclude=n2cn001")
    run.about(run.sbatch("-n", "22", *nodes, "-J", "uneven", "--mem-per-cpu=500", script="sleep 4"))
    run.running()
    run.now()
    run.ended()


def _gpus_on_two_nodes(run: ScenarioRun) -> None:
    gpus = ("-p", "gpu", "-w", "n2gpu01", "-n", "1", "--gpus-per-node=2")
    run.running(run.sbatch(*gpus, "-J", "filler", script="sleep 8", user="bob"))
    wide = ("-p", "gpu", "-N", "2", "-n", "4", "--gpus-per-node=a100:2")
    run.about(run.sbatch(*wide, "-J", "gpu2x2", script="srun true\nsleep 5"))
    run.running()
    run.now()
    run.ended()


def _untyped(run: ScenarioRun) -> None:
    job = run.sbatch("-p", "gpu", "-n", "2", "--gpus=2", "-J", "untyped", script="sleep 5")
    run.running(job)
    run.now()
    run.ended()


def _mixed(run: ScenarioRun) -> None:
    both = ("-n", "2", "--gres=gpu:a100:1,gpu:a40:2", "-w", "n2gpu01")
    run.sbatch("-p", "gpu", *both, "-J", "mixed", script="sleep 6")
    anything = ("-p", "gpu", "-n", "2", "-N", "2", "--gres=gpu:1", "-J", "anytype")
    run.sbatch(*anything, script="sleep 6", user="bob")
    run.running()
    run.now()
    run.ended()


def _cr_cpu(run: ScenarioRun) -> None:
    run.sbatch("-n", "3", "-w", "n2cn001", "-J", "cpu3", script="srun -n3 true\nsleep 6")
    five = ("-n", "5", "-w", "n2cn001", "-J", "cpu5")
    run.sbatch(*five, script="srun -n5 true\nsleep 6", user="bob")
    run.sbatch("-n", "1", "-w", "n2cn002", "-J", "cpu1", user="bob")
    run.running()
    run.now()
    run.ended()


def _het(run: ScenarioRun) -> None:
    second = ("-p", "gpu", "--gres=gpu:a100:1", "-n", "1")
    job = run.sbatch("-n", "2", "-J", "het", ":", *second, script="sleep 5")
    run.running(job, job + 1)
    run.now()
    run.ended()


def _admin_comment(run: ScenarioRun) -> None:
    job = run.sbatch("-n", "1", "-J", "admc", "--comment=user text", script="sleep 6")
    run.running(job)
    run.do("scontrol", "update", f"JobId={job}", "AdminComment=disable_cc_submission")
    run.now()
    run.ended()


def _interactive(kind: str) -> Scenario:
    """Return the scenario of a job without a script."""

    def play(run: ScenarioRun) -> None:
        if kind == "salloc":
            account = ("-A", "k1000", "-n", "2", "-J", "inter")
            run.background("salloc", *account, "srun", "-n", "2", "sleep", "8")
        else:
            run.background("srun", "-A", "k1000", "-n", "3", "-J", "direct", "sleep", "8")
        run.running()
        run.now()
        run.ended()

    return Scenario(name=f"interactive-{kind}", play=play)


def _parsers(run: ScenarioRun) -> None:
    """Record one running job in each JSON version that this release offers."""
    job = run.sbatch("-n", "3", "-J", "parsers", script="srun -n1 true\nsleep 12")
    run.running(job)
    said = run.do("squeue", "--json=list")
    offered = (said.stdout + said.stderr).decode().split()
    for parser in (word.rpartition("/")[2] for word in offered if "/v0.0." in word):
        for flag in ("", "+complex", "+fast"):
            name = f"squeue-{parser}{flag}.json"
            run.keep(name, "squeue", f"--json={parser}{flag}")


def _cluster(run: ScenarioRun) -> None:
    """Record the cluster itself, an empty queue, an unknown and a held job."""
    run.keep("sinfo.json", "sinfo", "--json")
    run.keep("sinfo.txt", "sinfo", "-N", "-o", "%N|%P|%t|%T|%C|%X|%Y|%Z|%z|%c|%m|%e|%G|%f|%O")
    run.keep("scontrol-nodes.txt", "scontrol", "show", "node", "-d")
    run.keep("scontrol-nodes.json", "scontrol", "show", "nodes", "--json")
    run.keep("scontrol-partitions.txt", "scontrol", "show", "partition")
    run.keep("scontrol-config.txt", "scontrol", "show", "config")
    run.keep("scontrol-ping.txt", "scontrol", "ping")
    run.keep("squeue-version.txt", "squeue", "--version")
    run.keep("squeue-empty.json", "squeue", "--json")
    run.keep("squeue-empty.txt", "squeue", "-a", "--states=all", "-o", FIELDS)
    run.keep("squeue-job-unknown.json", "squeue", "--json", "-j", "999999")
    run.keep("scontrol-job-unknown.json", "scontrol", "show", "job", "999999", "--json")
    run.keep("scontrol-jobs-empty.txt", "scontrol", "show", "job", "-d")
    run.keep("sacct-helpformat.txt", "sacct", "--helpformat")
    run.keep("sacct-unknown.json", "sacct", "-j", "999999", "--json")
    run.keep("sacct-unknown.txt", "sacct", "-P", "-j", "999999", "-o", ACCOUNTING_FIELDS)
    run.keep("sacctmgr-assoc.txt", "sacctmgr", "-P", "list", "assoc")
    run.keep("sacctmgr-qos.txt", "sacctmgr", "-P", "list", "qos")
    hosts = "n2cn[001-003],n2gpu02"
    run.keep("scontrol-show-hostnames.txt", "scontrol", "show", "hostnames", hosts)
    job = run.sbatch("-n", "4", "-H", script="sleep 600")
    held = ("scontrol", "show", "job", "-d", str(job))
    run.keep("scontrol-held-job-epoch.txt", "env", "SLURM_TIME_FORMAT=%s", *held)
    run.keep("scontrol-held-job-oneliner.txt", "scontrol", "-o", *held[1:])


LIMITS = [
    _one("exclusive-multinode", "-N", "3", "--exclusive", "-J", "excl"),
    _one("exclusive-user", "-n", "3", "--exclusive=user", "-J", "exuser"),
    _one("gpu-1of4", "-p", "gpu", "--gres=gpu:a100:1", "-n", "2", "-J", "gpu1"),
    _one("hint-nomultithread", "-n", "3", "--hint=nomultithread", "-J", "nomt"),
    _one("threads-per-core-1", "-n", "3", "--threads-per-core=1", "-J", "tpc1"),
    _one("mem-zero", "-N", "1", "-n", "2", "--mem=0", "-J", "mem0"),
    _one("overcommit", "-N", "1", "-n", "40", "--overcommit", "-J", "oc"),
    _one("unlimited-time", "-n", "1", "--time=UNLIMITED", "-J", "unlim"),
    _one("special-chars", "-n", "1", "-J", WEIRD_NAME, f"--comment={WEIRD_COMMENT}"),
]
RESOURCE_SCENARIOS = [
    Scenario(name="cluster", play=_cluster),
    Scenario(name="single-core-shared", play=_two_cores),
    _sockets(blocks=False),
    _sockets(blocks=True),
    Scenario(name="uneven-multinode", play=_uneven),
    Scenario(name="gpu-two-nodes", play=_gpus_on_two_nodes),
    Scenario(name="gpu-untyped", play=_untyped, replaced=UNTYPED),
    Scenario(name="gpu-mixed-types", play=_mixed, replaced=MIXED),
    Scenario(name="cr-cpu", play=_cr_cpu, options={"SelectTypeParameters": "CR_CPU"}),
    Scenario(name="het-job", play=_het),
    Scenario(name="admin-comment", play=_admin_comment),
    _interactive("salloc"),
    _interactive("srun"),
    Scenario(name="data-parsers", play=_parsers),
    *LIMITS,
]
