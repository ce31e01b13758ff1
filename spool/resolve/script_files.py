"""Read batch scripts from slurmctld's files `StateSaveLocation/hash.N/job.ID/script`.

N is the last digit of the id; tasks of an array share the script of the array. A file ends in NUL
(`get_job_script`, `src/slurmctld/job_mgr.c`, all releases).
"""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

from slurm.job import Job

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Script:
    """The script of a job, or its beginning; `text` None: the job has none.

    `bytes_total` is the size of the full script if only the beginning is here.
    """

    text: str | None
    bytes_total: int | None = None


def script_owner(job: Job) -> int:
    """Return the id under which slurmctld stores the script of a job."""
    return job.array_job_id or job.job_id


def read_script_file(state_save_location: Path, owner: int, limit_bytes: int) -> Script | None:
    """Return a job's script up to the limit; None if its file or directory is unreadable."""
    hashed = state_save_location / f"hash.{owner % 10}"
    try:
        fd = os.open(hashed / f"job.{owner}" / "script", _OPEN)
    except FileNotFoundError:
        return Script(None) if os.access(hashed, os.R_OK | os.X_OK) else None
    except OSError:
        return None
    try:
        with open(fd, "rb", closefd=False) as file:
            raw = file.read(limit_bytes + 1)  # one more byte for the NUL
        size = os.fstat(fd).st_size
        ends_in_nul = size > 0 and os.pread(fd, 1, size - 1) == b"\0"
    except OSError:
        return None
    finally:
        os.close(fd)
    return cut_script(raw, limit_bytes, bytes_total=size - ends_in_nul)


def cut_script(raw: bytes, limit_bytes: int, *, bytes_total: int) -> Script:
    """Return the part of a script within the limit, never a partial character."""
    if bytes_total <= limit_bytes:
        return Script(raw[:bytes_total].decode("utf-8", "replace"))
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(raw[:limit_bytes])
    return Script(text, bytes_total)
