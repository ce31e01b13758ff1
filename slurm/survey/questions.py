"""Read-only questions about a Slurm cluster itself, for a check before jobs are reported."""

from __future__ import annotations

from pathlib import Path

from slurm.ask import LISTING_BYTES, Ask, Commands, failed
from slurm.command import Runner
from slurm.errors import Problem, SlurmError
from slurm.release import Release, release_of
from slurm.sources import sources_of
from slurm.survey.nodes import Node, nodes_of
from slurm.survey.rights import admin_level_of, private_accounting_of

_FIRST_BYTES = 1 << 12


class Survey:
    """Asks by Slurm's commands; nothing is changed."""

    def __init__(self, commands: Commands, sacctmgr: Path, runner: Runner) -> None:
        self._ask = Ask(commands, runner)
        self._paths = {
            "squeue": self._ask.squeue,
            "sacct": self._ask.sacct,
            "scontrol": self._ask.scontrol,
            "sacctmgr": str(sacctmgr),
        }

    def version(self, command: str) -> Release:
        """Return the release of `squeue`, `sacct`, `scontrol` or `sacctmgr`.

        Raises:
            SlurmError: it cannot be run, or does not say.
        """
        return release_of(self._ask([self._paths[command], "--version"]).stdout)

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = [self._ask.scontrol, "show", "node"]
        return nodes_of(self._ask(argv, limit_bytes=LISTING_BYTES).stdout)

    def writes_json(self, release: Release, user: str) -> bool:
        """Tell whether squeue can write JSON (it needs a plugin that a build may lack).

        Raises:
            SlurmError: it fails for another reason.
        """
        argv = [self._ask.squeue, "--local", sources_of(release).json_option, "-u", user]
        try:
            answer = self._ask(argv, limit_bytes=_FIRST_BYTES)
        except SlurmError as error:
            if error.kind in {Problem.TOO_LARGE, Problem.NO_JSON}:
                return error.kind is Problem.TOO_LARGE  # it has begun, which is enough
            raise
        if not answer.stdout.lstrip().startswith(b"{"):
            raise failed(answer)
        return True

    def admin_level(self, user: str) -> str | None:
        """Return the AdminLevel of an account in accounting; None: it has no record there.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = ["-n", "-P", "show", "user", user, "format=User,AdminLevel"]
        return admin_level_of(self._ask([self._paths["sacctmgr"], *argv]).stdout, user)

    def private_accounting(self) -> frozenset[str] | None:
        """Return what slurmdbd hides from ordinary users; None where it does not tell.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = [self._paths["sacctmgr"], "show", "configuration"]
        return private_accounting_of(self._ask(argv).stdout)

    def accounted_users(self, job_id: int) -> frozenset[str]:
        """Return the users of a job by accounting; empty: it shows us no such job.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = [self._ask.sacct, "-a", "-X", "-n", "-P", "-o", "User", "-j", str(job_id)]
        return frozenset(self._ask(argv).stdout.decode("utf-8", "replace").split())
