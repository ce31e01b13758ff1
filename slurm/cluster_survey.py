"""Read-only queries about a Slurm cluster itself, for `check --full` before jobs are reported."""

from __future__ import annotations

from pathlib import Path

from slurm.commands import MAX_LISTING_BYTES, CommandPaths, SlurmCommands, command_failure
from slurm.decode.release_text import parse_release
from slurm.decode.sacctmgr import parse_admin_level, parse_private_accounting
from slurm.decode.scontrol_nodes import Node, parse_nodes
from slurm.decode.slurmd_starts import is_reconfigured, parse_slurmd_starts
from slurm.errors import FailureReason, SlurmError
from slurm.process import Runner
from slurm.release import Release
from slurm.release_features import features_of

_FIRST_BYTES = 1 << 12


class ClusterSurvey:
    """The queries, made with Slurm's commands; they change nothing."""

    def __init__(self, paths: CommandPaths, sacctmgr: Path, runner: Runner) -> None:
        self._commands = SlurmCommands(paths, runner)
        self._paths = {
            "squeue": self._commands.squeue,
            "sacct": self._commands.sacct,
            "scontrol": self._commands.scontrol,
            "sacctmgr": str(sacctmgr),
        }

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
        argv = [self._commands.scontrol, "show", "node"]
        return parse_nodes(self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES).stdout)

    def was_reconfigured(self, controller_boot: int) -> bool:
        """Return whether slurmctld started at a time because of `scontrol reconfigure`.

        Raises:
            SlurmError: the answer is unknown.
        """
        argv = [self._commands.scontrol, "show", "node"]
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
        if not answer.stdout.lstrip().startswith(b"{"):
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
        """Return what slurmdbd hides from ordinary users; None where it does not say so.

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
