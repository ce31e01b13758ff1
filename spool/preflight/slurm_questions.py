"""What `cc-spool check --full` asks Slurm: its setup, its nodes, and what our account may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from slurm.client import Slurm
from slurm.cluster_survey import ClusterSurvey
from slurm.decode.job_rows import SqueueRow
from slurm.decode.scontrol_nodes import Node
from slurm.errors import FailureReason, SlurmError
from slurm.process import Runner
from slurm.release import Release
from slurm.rights import Rights, private_data_of, slurm_user_of
from spool.checks.result import Result, Verdict, bad
from spool.config import Config
from spool.connections import slurm_commands
from spool.preflight.directories import check_directories
from spool.preflight.hook_lines import check_hooks
from spool.preflight.reach import Account, account_of, opens_scripts
from spool.preflight.slurm_setup import (
    Settings,
    check_accounting,
    check_commands,
    check_controller_host,
    check_gres,
    check_memory,
    check_timeouts,
    has_accounting,
)
from spool.preflight.sources import check_sources
from spool.preflight.visibility import (
    check_accounting_rights,
    check_jobs,
    check_scripts,
    foreign_job,
)

T = TypeVar("T")
COMMANDS = ("squeue", "scontrol", "sacct", "sacctmgr")
_LOOK = "look after slurmctld, and the keys slurm.scontrol and slurm.conf"


class SlurmQuestions:
    """Slurm as this site has it; `nodes` are known after `results`."""

    def __init__(self, config: Config, runner: Runner, account: Account) -> None:
        commands = slurm_commands(config)
        self._config = config
        self._slurm = Slurm(commands, runner)
        self._survey = ClusterSurvey(commands, config.slurm.sacctmgr, runner)
        self._account = account
        self.nodes: tuple[Node, ...] = ()

    def results(self) -> Iterator[Result]:
        """Yield what Slurm tells; without its configuration little can be judged."""
        versions = {name: self._version(name) for name in COMMANDS}
        settings = _asked(self._slurm.config)
        if isinstance(settings, SlurmError):
            yield bad(Verdict.CRITICAL, "slurm", str(settings), settings.hint or _LOOK)
            settings = {}
        release = versions["squeue"]
        yield from check_commands(versions, settings, json=self._json(release))
        if not settings:
            return
        yield from self._setup(settings)
        yield from self._seen(settings)
        if isinstance(release, Release):
            yield from check_sources(release)

    def _version(self, name: str) -> Release | str:
        release = _asked(lambda: self._survey.version(name))
        return str(release) if isinstance(release, SlurmError) else release

    def _json(self, release: Release | str) -> bool | str:
        if isinstance(release, str):
            return "squeue does not answer"
        answer = _asked(lambda: self._survey.supports_json(release, self._account.name))
        return str(answer) if isinstance(answer, SlurmError) else answer

    def _setup(self, settings: Settings) -> Iterator[Result]:
        spool = self._config.spool
        slurm_user = account_of(slurm_user_of(settings))
        yield check_controller_host(settings)
        yield from check_hooks(settings, spool.directory, slurm_user)
        yield from check_directories(
            spool.directory, spool.state_directory, service=self._account, slurm_user=slurm_user
        )
        yield check_memory(settings)
        yield check_timeouts(settings)
        yield check_accounting(settings)

    def _seen(self, settings: Settings) -> Iterator[Result]:
        """Yield what our account sees; nodes first, so that a job that ends is still listed."""
        nodes, jobs = _asked(self._survey.nodes), _asked(self._slurm.listing)
        if isinstance(nodes, SlurmError):
            yield _silent("nodes", nodes)
        else:
            self.nodes = nodes
            yield check_gres(settings, nodes, self._config.accelerator_kinds)
        rights, untold = self._rights(settings)
        yield from untold
        if isinstance(jobs, SlurmError):
            yield _silent("jobs seen", jobs)
            return
        yield check_jobs(rights, self.nodes, jobs)
        foreign = foreign_job(rights, jobs)
        if has_accounting(settings):
            yield self._accounting(rights, foreign)
        yield from self._scripts(settings, rights, foreign)

    def _rights(self, settings: Settings) -> tuple[Rights, list[Result]]:
        """Return our rights, and what accounting could not tell of them."""
        level: str | SlurmError | None = None
        hidden: frozenset[str] | SlurmError | None = None
        if has_accounting(settings):
            level = _asked(lambda: self._survey.admin_level(self._account.name))
            hidden = _asked(self._survey.private_accounting)
        rights = Rights(
            user=self._account.name,
            uid=self._account.uid,
            slurm_user=slurm_user_of(settings),
            admin_level=None if isinstance(level, SlurmError) else level,
            hidden=private_data_of(settings),
            hidden_accounting=None if isinstance(hidden, SlurmError) else hidden,
        )
        silent = [each for each in (level, hidden) if isinstance(each, SlurmError)]
        if rights.is_privileged:
            return rights, []
        return rights, [_silent("rights", error) for error in silent[:1]]

    def _accounting(self, rights: Rights, foreign: SqueueRow | None) -> Result:
        if foreign is None:
            return check_accounting_rights(rights, None)
        users = _asked(lambda: self._survey.users_of_job(foreign.job_id))
        if isinstance(users, SlurmError):
            return _silent("accounting seen", users)
        return check_accounting_rights(rights, foreign, is_shown=bool(users))

    def _scripts(
        self, settings: Settings, rights: Rights, foreign: SqueueRow | None
    ) -> Iterator[Result]:
        saved = self._config.slurm.state_save_location or next(
            map(Path, settings.get("StateSaveLocation", ())), None
        )
        denied = None
        if foreign is not None:
            script = _asked(lambda: self._slurm.script(foreign.job_id))
            if isinstance(script, str):
                denied = False
            elif isinstance(script, SlurmError) and script.reason is FailureReason.DENIED:
                denied = True
        yield from check_scripts(
            rights,
            wanted=self._config.metadata.job_script,
            saved=saved,
            opens=saved is not None and opens_scripts(saved),
            denied=denied,
        )


def _asked(question: Callable[[], T]) -> T | SlurmError:
    try:
        return question()
    except SlurmError as error:
        return error


def _silent(name: str, error: SlurmError) -> Result:
    return bad(Verdict.UNKNOWN, name, str(error), error.hint or _LOOK)
