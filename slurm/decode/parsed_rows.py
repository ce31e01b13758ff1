"""The result of a text listing: certain rows, and the jobs to ask another source about.

Texts that people write (an administrator's comment of several lines, a `|` in an account) can make
the row of their own job unreadable, but never the row of another job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slurm.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRows:
    """The jobs of a text listing.

    `rows` are jobs by id. `doubtful` are the listed jobs whose rows are not certain, by id, each
    with the reason. `problems` are lines that belong to no job: if there is one, a job that is not
    listed may exist nevertheless.
    """

    rows: Mapping[int, Job]
    doubtful: Mapping[int, str]
    problems: tuple[str, ...] = ()

    def undecided(self, wanted: Iterable[int]) -> dict[int, str]:
        """Return the wanted jobs to ask another source about, each with the reason.

        A wanted job that is neither here nor in `rows` is not known to the controller.
        """
        found = {job_id: self.doubtful.get(job_id, "") for job_id in wanted}
        if self.problems:
            found = {job_id: why or self.problems[0] for job_id, why in found.items()}
        return {job_id: why for job_id, why in found.items() if why and job_id not in self.rows}
