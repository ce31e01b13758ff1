"""Reads batch script and description of one job by `scontrol`."""

from __future__ import annotations

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands, command_failure, is_unreachable
from slurm.decode.scontrol_job import job_record_text
from slurm.errors import FailureReason, SlurmError, UnknownJob

MAX_SCRIPT_BYTES = 1 << 26
"""Larger than `max_script_size` of any site; its default is 4 MiB (slurm.conf(5))."""
_DENIED = (b"Access/permission denied", b"Invalid user id")
_NO_SCRIPT = b"job script retrieval failed"  # with exit status 0 (seen with 22.05.8)


def read_script(
    commands: SlurmCommands, job_id: int, timeout_seconds: float | None = None
) -> str | None:
    """Return the batch script of a job in memory; None for a job without one.

    Raises:
        SlurmError: (DENIED) our account may not read it, or the answer is unknown.
    """
    argv = [commands.scontrol, "write", "batch_script", str(job_id), "-"]
    answer = commands.run_unchecked(
        argv, limit_bytes=MAX_SCRIPT_BYTES, timeout_seconds=timeout_seconds
    )
    if answer.status == 0 and _NO_SCRIPT not in answer.stderr:
        commands.error_lines.record(answer.argv[0], answer.stderr)
        return answer.stdout.removesuffix(b"\0").decode("utf-8", "replace")
    if any(words in answer.stderr for words in _DENIED):
        hint = "give the service's account AdminLevel Operator, or set metadata.job_script"
        message = f"no permission to read the script of job {job_id}"
        raise SlurmError(message, reason=FailureReason.DENIED, stderr=answer.stderr, hint=hint)
    if is_unreachable(answer) or answer.status < 0:
        raise command_failure(answer)
    return None


def read_description(
    commands: SlurmCommands, job_id: int, timeout_seconds: float | None = None
) -> str | None:
    """Return the text of `scontrol show job` about exactly this job; None if it is unknown.

    Users write parts of it: it is for people to read and must never be parsed.

    Raises:
        SlurmError: the answer is unknown.
    """
    argv = [commands.scontrol, "show", "job", str(job_id)]
    try:
        return commands.read(
            argv,
            lambda stdout: job_record_text(stdout.decode("utf-8", "replace"), job_id),
            limit_bytes=MAX_LISTING_BYTES,
            timeout_seconds=timeout_seconds,
            for_display=True,
        )
    except UnknownJob:
        return None
