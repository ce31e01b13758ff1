"""Read the values of the metrics from state files, spool and checks, as `status` and `check` do."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from ccbackend.errors import TokenError
from ccbackend.outcomes import Reason
from spool.checks.local import CheckContext, local_results
from spool.checks.result import AgeLimits, CheckStatus, worst_status
from spool.commands.drain_view import read_drain_view
from spool.config import Config
from spool.errors import SpoolError
from spool.files.file_times import LISTED, list_names, waiting_times
from spool.files.inventory import EventFile, RunFile, read_file
from spool.files.layout import Directory, Layout
from spool.files.node_round import read_node_round
from spool.files.sweep_state import SweepSummary, read_sweep_summary
from spool.identity import MaskedToken
from spool.metrics.snapshot import DirectoryFigures, MetricsSnapshot, instance_of

MAX_READ = 500  # dead letters in one call
_REASONS = frozenset({"incomplete", *(reason.name.lower() for reason in Reason)})


class SnapshotReader:
    """A reader of metrics snapshots for one configuration; caches the reasons of dead letters."""

    def __init__(self, config: Config, token: MaskedToken) -> None:
        self._config = config
        self._token = token
        self._reasons: dict[tuple[float, str], str] = {}

    def __call__(self) -> MetricsSnapshot:
        """Return the current snapshot; a value that cannot be read has a default such as None."""
        config, now = self._config, time.time()
        view = read_drain_view(config.spool.state_directory)
        token_expires_at = None
        with suppress(TokenError):
            token_expires_at = self._token.current().expires_at
        found = MetricsSnapshot(
            time=now,
            instance=instance_of(config.spool.state_directory),
            is_running=view.is_running,
            pid=view.pid,
            drain=view.state,
            sweep=self._sweep(),
            nodes=read_node_round(config.spool.state_directory),
            min_free_bytes=config.spool.min_free_bytes,
            token_expires_at=token_expires_at,
            checks=self._checks(now),
        )
        with suppress(SpoolError, OSError), Layout(config.spool.directory) as layout:
            return self._with_spool(found, layout)
        return found

    def _with_spool(self, snapshot: MetricsSnapshot, layout: Layout) -> MetricsSnapshot:
        since = {directory: waiting_times(layout, directory) for directory in LISTED}
        return replace(
            snapshot,
            directories={
                directory: DirectoryFigures(count=len(times), oldest=times[0] if times else None)
                for directory, times in since.items()
            },
            dead_letters=self._dead_letters(layout),
            free_bytes=layout.free_bytes(),
            free_inodes=layout.free_inodes(),
        )

    def _sweep(self) -> SweepSummary | None:
        try:
            return read_sweep_summary(self._config.spool.state_directory)
        except (OSError, ValueError):
            return None

    def _checks(self, now: float) -> dict[str, CheckStatus]:
        """Return the worst verdict of each check by name."""
        context = CheckContext(limits=AgeLimits(), now=now)
        results = list(local_results(self._config, self._token, context))
        names = dict.fromkeys(result.name for result in results)
        return {name: worst_status(r for r in results if r.name == name) for name in names}

    def _dead_letters(self, layout: Layout) -> dict[str, int]:
        """Count the dead letters by reason; read at most MAX_READ new ones, others: `not_read`."""
        files = list_names(layout, Directory.DEAD)
        fresh = islice((file for file in files if file not in self._reasons), MAX_READ)
        read = {file: _reason_of(layout, file[1]) for file in list(fresh)}
        known = self._reasons | read
        self._reasons = {file: known[file] for file in files if file in known}
        return dict(Counter(known.get(file, "not_read") for file in files))


def _reason_of(layout: Layout, name: str) -> str:
    """Return why a file is in `dead/`, as one of a fixed set of label values."""
    found = read_file(layout, Directory.DEAD, name)
    if isinstance(found, RunFile):
        reason = found.run.last_error.reason if found.run.last_error else ""
        return reason if reason in _REASONS else "other"
    return "event" if isinstance(found, EventFile) else "unusable_file"
