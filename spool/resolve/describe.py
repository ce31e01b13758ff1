"""Script and description of new jobs for a caller that waits for them; see `job_texts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slurm.job import Job
from spool.resolve.job_texts import JobTexts, SlurmTexts, TextSettings

BUDGET_SECONDS = 3.0


@dataclass(kw_only=True)
class SlurmDescriber:
    """Reads both; `state_save_location` None: as Slurm's configuration says."""

    slurm: SlurmTexts
    state_save_location: Path | None
    with_script: bool
    with_description: bool

    def __post_init__(self) -> None:
        settings = TextSettings(
            with_script=self.with_script,
            with_description=self.with_description,
            state_save_location=self.state_save_location,
        )
        self._texts = JobTexts(self.slurm, settings)

    def __call__(self, jobs: Iterable[Job]) -> Mapping[int, tuple[str | None, str | None]]:
        """Return script and description by job id."""
        found = self._texts.read(list(jobs), budget_seconds=BUDGET_SECONDS)
        return {job_id: (each.script, each.description) for (job_id, _), each in found.items()}
