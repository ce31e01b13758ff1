"""The checks of Slurm in `check --full`: its setup, its nodes, and our account's rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from slurm.client import Slurm
from slurm.cluster_survey import ClusterSurvey, Rights
from slurm.decode.job_rows import SqueueRow
from slurm.decode.scontrol_config import (
    SlurmSettings,
    active_elsewhere,
    has_accounting,
    private_data_of,
    slurm_user_of,
)
from slurm.decode.scontrol_nodes import Node
from slurm.errors import FailureReason, SlurmError
from slurm.process import Runner
from slurm.release import Release
from spool.checks.result import CheckResult, CheckStatus, finding
from spool.config import Config
from spool.connections import slurm_commands
from spool.preflight.hooks import check_hooks, check_last_event, seen_events
from spool.preflight.permissions import SystemUser, can_read_scripts, check_directories, system_user
from spool.preflight.slurm_setup import (
    check_accounting,
    check_commands,
    check_controller_host,
    check_gres,
    check_hook_timeouts,
    check_min_job_age,
    check_sources,
)
from spool.preflight.visibility import (
    check_accounting_visibility,
    check_job_visibility,
    check_script_access,
    other_users_job,
)

T = TypeVar("T")
COMMANDS = ("squeue", "scontrol", "sacct", "sacctmgr")
_SLURM_HINT = "check that slurmctld runs, and the configuration keys slurm.scontrol and slurm.conf"


class SlurmChecks:
    """The checks of this site's Slurm; `nodes` are known after `results`."""

    def __init__(self, config: Config, runner: Runner, user: SystemUser) -> None:
        commands = slurm_commands(config)
        self._config = config
        self._slurm = Slurm(commands, runner)
        self._survey = ClusterSurvey(commands, config.slurm.sacctmgr, runner)
        self._user = user
        self.nodes: tuple[Node, ...] = ()

    def results(self) -> Iterator[CheckResult]:
        """Yield the results of all checks; only a few if `scontrol show config` fails."""
        versions = {name: self._version(name) for name in COMMANDS}
        settings = _result_or_error(self._slurm.config)
        if isinstance(settings, SlurmError):
            yield finding(
                CheckStatus.CRITICAL, "slurm", str(settings), settings.hint or _SLURM_HINT
            )
            settings = {}
        release = versions["squeue"]
        yield from check_commands(versions, settings, json=self._json(release))
        if settings:
            yield from self._setup(settings)
            yield from self._visibility(settings)
        yield from self._messages()
        if settings and isinstance(release, Release):
            yield from check_sources(release)

    def _messages(self) -> Iterator[CheckResult]:
        """Yield a warning for each error line that Slurm's commands print next to their answers."""
        hint = (
            "Slurm's answers are used nevertheless; correct the problem that Slurm's message"
            " reports"
        )
        for line in self._survey.warnings(self._slurm.warnings()):
            yield finding(CheckStatus.WARNING, "slurm messages", line, hint)

    def _version(self, name: str) -> Release | str:
        release = _result_or_error(lambda: self._survey.version(name))
        return str(release) if isinstance(release, SlurmError) else release

    def _json(self, release: Release | str) -> bool | str:
        if isinstance(release, str):
            return "squeue does not answer"
        answer = _result_or_error(lambda: self._survey.supports_json(release, self._user.name))
        return str(answer) if isinstance(answer, SlurmError) else answer

    def _setup(self, settings: SlurmSettings) -> Iterator[CheckResult]:
        spool = self._config.spool
        slurm_user = system_user(slurm_user_of(settings))
        yield check_controller_host(settings)
        yield from check_hooks(settings, spool.directory, slurm_user)
        yield from check_directories(
            spool.directory, spool.state_directory, service=self._user, slurm_user=slurm_user
        )
        yield check_min_job_age(settings)
        yield check_hook_timeouts(settings)
        yield check_accounting(settings)

    def _visibility(self, settings: SlurmSettings) -> Iterator[CheckResult]:
        """Yield the checks of what our account can see; nodes are read before jobs."""
        nodes, jobs = _result_or_error(self._survey.nodes), _result_or_error(self._slurm.listing)
        if isinstance(nodes, SlurmError):
            yield _unanswered("nodes", nodes)
        else:
            self.nodes = nodes
            yield check_gres(settings, nodes, self._config.accelerator_kinds)
        rights, unanswered = self._rights(settings)
        yield from unanswered
        if isinstance(jobs, SlurmError):
            yield _unanswered("jobs seen", jobs)
            return
        yield from self._events(settings, jobs)
        yield check_job_visibility(rights, self.nodes, jobs)
        other_job = other_users_job(rights, jobs)
        if has_accounting(settings):
            yield self._accounting(rights, other_job)
        yield from self._scripts(settings, rights, other_job)

    def _events(
        self, settings: SlurmSettings, jobs: tuple[SqueueRow, ...]
    ) -> Iterator[CheckResult]:
        """Yield the last event's check; nothing without the hook or if slurmctld is elsewhere."""
        if not settings.get("PrologSlurmctld"):
            return
        has_backup = len(settings.get("SlurmctldHost", ())) > 1
        controllers = _result_or_error(self._slurm.ping) if has_backup else ()
        if isinstance(controllers, SlurmError) or active_elsewhere(controllers) is None:
            yield check_last_event(seen_events(self._config.spool), jobs, settings)

    def _rights(self, settings: SlurmSettings) -> tuple[Rights, list[CheckResult]]:
        """Return our account's rights, and a result if accounting could not be asked for them."""
        level: str | SlurmError | None = None
        hidden: frozenset[str] | SlurmError | None = None
        if has_accounting(settings):
            level = _result_or_error(lambda: self._survey.admin_level(self._user.name))
            hidden = _result_or_error(self._survey.private_accounting)
        rights = Rights(
            user=self._user.name,
            uid=self._user.uid,
            slurm_user=slurm_user_of(settings),
            admin_level=None if isinstance(level, SlurmError) else level,
            hidden=private_data_of(settings),
            hidden_accounting=None if isinstance(hidden, SlurmError) else hidden,
        )
        errors = [each for each in (level, hidden) if isinstance(each, SlurmError)]
        if rights.is_privileged:
            return rights, []
        return rights, [_unanswered("rights", error) for error in errors[:1]]

    def _accounting(self, rights: Rights, other_job: SqueueRow | None) -> CheckResult:
        if other_job is None:
            return check_accounting_visibility(rights, None)
        users = _result_or_error(lambda: self._survey.users_of_job(other_job.job_id))
        if isinstance(users, SlurmError):
            return _unanswered("accounting seen", users)
        return check_accounting_visibility(rights, other_job, is_shown=bool(users))

    def _scripts(
        self, settings: SlurmSettings, rights: Rights, other_job: SqueueRow | None
    ) -> Iterator[CheckResult]:
        state_save = self._config.slurm.state_save_location or next(
            map(Path, settings.get("StateSaveLocation", ())), None
        )
        denied = None
        if other_job is not None:
            script = _result_or_error(lambda: self._slurm.script(other_job.job_id))
            if isinstance(script, str):
                denied = False
            elif isinstance(script, SlurmError) and script.reason is FailureReason.DENIED:
                denied = True
        yield from check_script_access(
            rights,
            wanted=self._config.metadata.job_script,
            state_save=state_save,
            can_open=state_save is not None and can_read_scripts(state_save),
            denied=denied,
        )


def _result_or_error(question: Callable[[], T]) -> T | SlurmError:
    try:
        return question()
    except SlurmError as error:
        return error


def _unanswered(name: str, error: SlurmError) -> CheckResult:
    return finding(CheckStatus.UNKNOWN, name, str(error), error.hint or _SLURM_HINT)
