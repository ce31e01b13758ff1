"""The settings of a drain, and its external parts: cc-backend, Slurm, clocks, system calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from queue import Queue
from random import random
from typing import Any, Protocol

from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from spool.deliver.senders import SenderBackend
from spool.drain.event_watch import EventWatch
from spool.files.durable_files import WriteBatch
from spool.files.layout import Layout
from spool.files.node_round import NodeRound
from spool.files.system_calls import SystemCalls
from spool.moment import Clocks
from spool.resolve.job_texts import TextsQuery, TextsReply
from spool.resolve.slurm_worker import DrainSlurm
from spool.worker import AnswerQueue, Worker


@light_dataclass
class DrainSettings:
    """The site's settings of the drain; durations in seconds except `keep_days`."""

    state: Path
    hold_seconds: float
    replace_earlier: bool
    keep_days: float
    min_free_bytes: int
    wants_texts: bool = True
    nodes_interval_seconds: float = 0.0


class NewWorker(Protocol):
    """A function that creates a worker; the simulation of the tests passes its own."""

    def __call__(
        self,
        name: str,
        work: Callable[[Any], Any],
        answers: Any,
        *,
        clock: Callable[[], float],
    ) -> Worker[Any, Any]:
        """Return a worker that has not been started."""


@light_dataclass
class Externals:
    """The external parts of a drain: cc-backend, Slurm and the clocks.

    `backend` and `slurm` create a client at each call: every worker has its own. `warnings` are
    lines that Slurm printed next to good answers, for the administrator. `slurm_release` is the
    release as last seen. `new_watch` returns the watch that wakes the loop on file changes and
    signals; None: it polls. `nodes` reports all node states once; None: they are not reported.
    `editor` creates a client with short timeouts for the `edit_meta` before a stop; None: the
    clients of the stops send it. `final_texts` returns Slurm's descriptions of ended jobs; None:
    they are not queried.
    """

    slurm: Callable[[], DrainSlurm]
    backend: Callable[[], SenderBackend]
    texts: Callable[[TextsQuery], TextsReply]
    inputs_changed: Callable[[], bool]
    nodes: Callable[[NodeRound], NodeRound] | None = None
    editor: Callable[[], SenderBackend] | None = None
    final_texts: Callable[[tuple[Job, ...]], Mapping[tuple[int, int | None], str]] | None = None
    clocks: Clocks = field(default_factory=Clocks)
    warnings: Callable[[], tuple[str, ...]] = tuple
    slurm_release: Callable[[], str | None] = lambda: None
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random
    answers: AnswerQueue = field(default_factory=Queue)
    new_worker: NewWorker = Worker
    new_watch: Callable[[Layout, Any], EventWatch | None] = EventWatch
    system_calls: SystemCalls = os
    new_batch: Callable[[Layout], WriteBatch] = WriteBatch
