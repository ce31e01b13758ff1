"""The environment that slurmctld gives to its two hooks: only the recorded names."""

from __future__ import annotations

from standin_slurm.model import CLUSTER, Job, cpus_per_node, end_of, exit_words, fold
from standin_slurm.templates import hook_variables
from standin_slurm.texts import sharing


def environment(series: str, job: Job, hook: str) -> dict[str, str]:
    """Return the environment of a hook (`prolog`, `epilog`) of a release for a job."""
    kind = "array" if job["array"] else "het" if job["het"] else "plain"
    values = _variables(series, job, hook)
    recorded = hook_variables(series, kind, hook)
    return {key: str(values.get(key, old)) for key, old in recorded.items()}


def _variables(series: str, job: Job, hook: str) -> dict[str, object]:
    oversubscribe, exclusive = sharing(job, series)
    code = job["exit_code"]
    values: dict[str, object] = {
        "SLURM_JOB_ID": job["job_id"],
        "SLURM_JOBID": job["job_id"],
        "SLURM_JOB_NAME": job["name"],
        "SLURM_JOB_USER": job["user"],
        "SLURM_JOB_UID": job["uid"],
        "SLURM_JOB_ACCOUNT": job["account"],
        "SLURM_JOB_PARTITION": job["partition"],
        "SLURM_JOB_NODELIST": fold(job["nodes"]),
        "SLURM_JOB_NUM_NODES": len(job["nodes"]),
        "SLURM_JOB_CPUS_PER_NODE": cpus_per_node(job),
        "SLURM_JOB_RESTART_COUNT": job["restarts"],
        "SLURM_JOB_START_TIME": job["start"],
        "SLURM_JOB_END_TIME": end_of(job),
        "SLURM_JOB_OVERSUBSCRIBE": oversubscribe,
        "SLURM_JOB_EXCLUSIVE": exclusive,
        "SLURM_JOB_SLUID": job["sluid"],
        "SLURM_JOB_WORK_DIR": job["work_dir"],
        "SLURM_JOB_EXIT_CODE": code,
        "SLURM_JOB_EXIT_CODE2": exit_words(code),
        "SLURM_CLUSTER_NAME": CLUSTER,
        "SLURM_SCRIPT_CONTEXT": f"{hook}_slurmctld",
    }
    if job["array"]:
        values["SLURM_ARRAY_JOB_ID"], values["SLURM_ARRAY_TASK_ID"] = job["array"]
    if job["het"]:
        values["SLURM_HET_JOB_ID"], values["SLURM_HET_JOB_OFFSET"] = job["het"]
        values["SLURM_PACK_JOB_ID"], values["SLURM_PACK_JOB_OFFSET"] = job["het"]  # old names
    return values
