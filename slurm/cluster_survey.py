"""Read-only queries about a Slurm cluster itself, and what our account may see of it."""

from __future__ import annotations

import re
from pathlib import Path

from slurm.commands import MAX_LISTING_BYTES, CommandPaths, SlurmCommands, command_failure
from slurm.decode.release_text import parse_release
from slurm.decode.scontrol_config import parse_admin_level, parse_private_accounting
from slurm.decode.scontrol_nodes import Node, is_reconfigured, parse_nodes, parse_slurmd_starts
from slurm.error_lines import distinct_lines
from slurm.errors import FailureReason, SlurmError
from slurm.light_dataclass import light_dataclass
from slurm.process import Runner
from slurm.release import Release, features_of

_FIRST_BYTES = 1 << 12
_JSON_BEGINS = re.compile(rb"^\s*\{", re.MULTILINE)


class ClusterSurvey:
    """Read-only queries about a Slurm cluster, made with Slurm's commands."""

    def __init__(self, paths: CommandPaths, sacctmgr: Path, runner: Runner) -> None:
        self._commands = SlurmCommands(paths, runner)
        self._paths = {
            "squeue": self._commands.squeue,
            "sacct": self._commands.sacct,
            "scontrol": self._commands.scontrol,
            "sacctmgr": str(sacctmgr),
        }

    def warnings(self, others: tuple[str, ...]) -> tuple[str, ...]:
        """Return `others` and the error lines printed with accepted answers, without duplicates."""
        return distinct_lines((*others, *self._commands.error_lines.current()))

    def version(self, command: str) -> Release:
        """Return the release of `squeue`, `sacct`, `scontrol` or `sacctmgr`.

        Raises:
            SlurmError: the command cannot be run, or prints no release.
        """
        return parse_release(self._commands.run([self._paths[command], "--version"]).stdout)

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = self._commands.show_nodes_argv()
        return parse_nodes(self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES).stdout)

    def was_reconfigured(self, controller_boot: int) -> bool:
        """Return whether slurmctld started at `controller_boot` due to `scontrol reconfigure`.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = self._commands.show_nodes_argv()
        answer = self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES)
        return is_reconfigured(parse_slurmd_starts(answer.stdout), controller_boot)

    def supports_json(self, release: Release, user: str) -> bool:
        """Return whether squeue can write JSON (it needs a plugin that a build may lack).

        Raises:
            SlurmError: it fails for another reason.
        """
        argv = [self._commands.squeue, "--local", features_of(release).json_option, "-u", user]
        try:
            answer = self._commands.run(argv, limit_bytes=_FIRST_BYTES)
        except SlurmError as error:
            if error.reason in {FailureReason.TOO_LARGE, FailureReason.NO_JSON}:
                return error.reason is FailureReason.TOO_LARGE  # it began to write JSON
            raise
        if not _JSON_BEGINS.search(answer.stdout):
            raise command_failure(answer)
        return True

    def admin_level(self, user: str) -> str | None:
        """Return the AdminLevel of an account in accounting; None: it has no record there.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = ["-n", "-P", "show", "user", user, "format=User,AdminLevel"]
        return parse_admin_level(self._commands.run([self._paths["sacctmgr"], *argv]).stdout, user)

    def private_accounting(self) -> frozenset[str] | None:
        """Return slurmdbd's `PrivateData`: what ordinary users cannot see; None: not printed.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = [self._paths["sacctmgr"], "show", "configuration"]
        return parse_private_accounting(self._commands.run(argv).stdout)

    def users_of_job(self, job_id: int) -> frozenset[str]:
        """Return the users of a job from accounting; empty if it shows us no such job.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = [self._commands.sacct, "-a", "-X", "-n", "-P", "-o", "User", "-j", str(job_id)]
        return frozenset(self._commands.run(argv).stdout.decode("utf-8", "replace").split())


# `PrivateData=jobs` of slurm.conf hides other users' jobs in squeue and scontrol, that of
# slurmdbd.conf in sacct; root, SlurmUser and an AdminLevel from Operator on see all. Batch scripts
# are shown only to these and to their owner (slurm.conf(5), slurmdbd.conf(5), sacctmgr(1)).
_PRIVILEGED_LEVELS = frozenset({"Operator", "Administrator", "Admin"})


@light_dataclass
class Rights:
    """The rights of one account to see jobs.

    `admin_level` is None if accounting has no record of the account; `hidden_accounting` is None
    where it could not be asked. Both `hidden` sets are values of `PrivateData`.
    """

    user: str
    uid: int
    slurm_user: str
    admin_level: str | None
    hidden: frozenset[str]
    hidden_accounting: frozenset[str] | None

    @property
    def is_privileged(self) -> bool:
        """Return whether Slurm hides nothing from the account."""
        return (
            self.uid == 0
            or self.user == self.slurm_user
            or (self.admin_level or "") in _PRIVILEGED_LEVELS
        )

    @property
    def sees_jobs(self) -> bool:
        """Return whether squeue shows other users' jobs."""
        return self.is_privileged or "jobs" not in self.hidden

    @property
    def sees_accounting(self) -> bool:
        """Return whether sacct shows other users' jobs, as far as is known."""
        return self.is_privileged or "jobs" not in (self.hidden_accounting or ())
