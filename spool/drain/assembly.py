"""Assemble a drain from parts that the caller provides."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Queue
from random import random
from typing import Any, Protocol

from slurm.job import Job
from spool.deliver.backend_health import BackendHealth
from spool.deliver.channel import SendChannel
from spool.deliver.compose import PayloadComposer
from spool.deliver.counters import ActivityCounters
from spool.deliver.delivery import Delivery
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import Schedule
from spool.deliver.senders import BackendSender, SenderBackend
from spool.deliver.server_questions import BackendWorkers
from spool.deliver.settlement import DeliveryPolicy
from spool.drain.apply_resolutions import ResolutionApplier
from spool.drain.event_watch import EventWatch
from spool.drain.final_texts import FinalTexts
from spool.drain.loop import AnswerQueue, Drain, DrainParts
from spool.drain.node_rounds import NodeRounds, NodeRoundSettings
from spool.drain.recovery import recover
from spool.drain.same_job import SameJobProof
from spool.drain.service import Service, ServiceParts
from spool.drain.text_collector import TextCollector
from spool.errors import BadFileError
from spool.files.archive import DeliveredArchive
from spool.files.drain_state import DrainState, DrainStateFile, read_drain_state
from spool.files.durable_files import WriteBatch
from spool.files.layout import Layout
from spool.files.node_round import NodeRound
from spool.files.state_files import DELIVERED_DIRECTORY, DRAIN_STATE_FILE, CrashMarker
from spool.files.system_calls import SystemCalls
from spool.moment import Clocks, Moment
from spool.resolve.event_scanner import EventScanner
from spool.resolve.job_texts import TextsQuery, TextsReply
from spool.resolve.resolver import Resolver
from spool.resolve.slurm_worker import DrainSlurm, SlurmReader
from spool.worker import Worker

CHANNEL_WORKERS = {
    name: (name, f"{name}-2", f"{name}-3") for name in ("starts", "stops")
}  # one of a channel is enough while cc-backend answers
BACKEND_WORKERS = (*CHANNEL_WORKERS["starts"], *CHANNEL_WORKERS["stops"], "probe", "queries")


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """The factory of workers; the simulation passes one that its scheduler controls."""

    def __call__(
        self,
        name: str,
        work: Callable[[Any], Any],
        answers: Any,
        *,
        clock: Callable[[], float],
    ) -> Worker[Any, Any]:
        """Return a worker that has not been started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Externals:
    """The external parts of a drain: cc-backend, Slurm and the clocks.

    `backend` and `slurm` create a client at each call: every worker has its own. `warnings` are
    lines that Slurm printed next to good answers, for the administrator. `slurm_release` is the
    release as last seen. `new_watch` wakes the loop for new events; if it returns None, it polls.
    `nodes` makes a round of node states; None: they are not reported. `editor` creates a client of
    short patience for the changes that precede a stop; None: the clients of the stops make them.
    `final_texts` returns Slurm's descriptions of ended jobs; None: they are not queried.
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


def assemble(
    settings: DrainSettings, composer: PayloadComposer, externals: Externals, *, layout: Layout
) -> Service:
    """Return a service that has read the spool; the caller holds the lock.

    Raises:
        OSError: the state directory cannot be written.
    """
    calls = externals.system_calls
    now = externals.clocks.now()
    workers = _workers(externals)
    crash_marker = CrashMarker(settings.state / "handling", calls)
    archive = _archive(settings, calls)
    loader = RunLoader(layout, crash_marker)
    # without a hold: `Delivery.fill` sets it before each pass, as the server's version demands
    store = RunStore(layout, Schedule(), archive, loader=loader, new_batch=externals.new_batch)
    health, backend = BackendHealth(externals.random), _backend_workers(workers)
    proof = SameJobProof(store, externals.clocks)
    policy = _policy(settings, proof)
    delivery = Delivery(
        store, health, composer, workers=backend, crash_marker=crash_marker, policy=policy
    )
    wants_texts, builder = settings.wants_texts, delivery.builder
    texts = TextCollector(store, builder, workers["texts"], wants_texts=wants_texts, began=now.wall)
    final = FinalTexts(store, builder, composer, workers.get("final-texts"))
    scanner, resolver = EventScanner(layout, crash_marker), Resolver()
    parts = DrainParts(
        layout=layout,
        loader=loader,
        store=store,
        scanner=scanner,
        resolver=resolver,
        applier=ResolutionApplier(
            store, scanner, resolver=resolver, builder=builder, texts=texts, final_texts=final
        ),
        texts=texts,
        final_texts=final,
        proof=proof,
        health=health,
        delivery=delivery,
        backend=backend,
        controller=workers["controller"],
        accounting=workers["accounting"],
        nodes=_node_rounds(settings, externals, workers.get("nodes"), now),
        answers=externals.answers,
        clocks=externals.clocks,
        min_free_bytes=settings.min_free_bytes,
    )
    _connect(parts, workers)
    return _service(settings, externals, parts, archive, workers=workers, crash_marker=crash_marker)


def _archive(settings: DrainSettings, calls: SystemCalls) -> DeliveredArchive:
    directory = settings.state / DELIVERED_DIRECTORY
    return DeliveredArchive(directory, keep_days=settings.keep_days, system_calls=calls)


def _policy(settings: DrainSettings, proof: SameJobProof) -> DeliveryPolicy:
    hold, replace_earlier = settings.hold_seconds, settings.replace_earlier
    return DeliveryPolicy(hold_seconds=hold, replace_earlier=replace_earlier, prove=proof)


def _service(
    settings: DrainSettings,
    externals: Externals,
    parts: DrainParts,
    archive: DeliveredArchive,
    *,
    workers: dict[str, Worker[Any, Any]],
    crash_marker: CrashMarker,
) -> Service:
    """Return the service around a drain that has read the spool."""
    now, calls = parts.clocks.now(), externals.system_calls
    state_path = settings.state / DRAIN_STATE_FILE
    previous = _previous_state(state_path)
    parts.delivery.counters = ActivityCounters(previous.counters)
    parts.delivery.counters.last_delivery = _past(previous.last_delivery, now)
    drain = Drain(parts, last_event=_past(previous.last_event, now))
    recover(parts.layout, parts.store, parts.loader, now)
    service_parts = ServiceParts(
        workers=tuple(workers.values()),
        archive=archive,
        state_file=DrainStateFile(state_path, system_calls=calls),
        inputs_changed=externals.inputs_changed,
        warnings=externals.warnings,
        slurm_release=externals.slurm_release,
        watch=externals.new_watch(parts.layout, parts.answers),
        close=crash_marker.close,
    )
    return Service(drain, parts, service_parts)


def _previous_state(path: Path) -> DrainState:
    """Return the state that the previous drain left; the defaults if it is not known."""
    try:
        return read_drain_state(path) or DrainState()
    except (BadFileError, OSError):
        return DrainState()


def _past(instant: float | None, now: Moment) -> float | None:
    """Return the instant, or now if it lies in the future."""
    return None if instant is None else min(instant, now.wall)


def _workers(externals: Externals) -> dict[str, Worker[Any, Any]]:
    """Return a worker for everything that may hang; a thread starts with its first query."""
    works: dict[str, Callable[[Any], Any]] = {}
    for name in BACKEND_WORKERS:
        sender = BackendSender(
            externals.backend(),
            sleep=externals.sleep,
            new_editor=externals.editor,
            steady=externals.clocks.steady,
        )
        works[name] = sender.ask if name in {"probe", "queries"} else sender.send
    works["controller"] = SlurmReader(externals.slurm()).ask_controller
    works["accounting"] = SlurmReader(externals.slurm()).ask_accounting
    works["texts"] = externals.texts
    if externals.final_texts is not None:
        works["final-texts"] = externals.final_texts
    if externals.nodes is not None:
        works["nodes"] = externals.nodes
    clock = externals.clocks.steady
    return {
        name: externals.new_worker(name, work, externals.answers, clock=clock)
        for name, work in works.items()
    }


def _node_rounds(
    settings: DrainSettings, externals: Externals, worker: Worker[Any, Any] | None, now: Moment
) -> NodeRounds:
    """Return the schedule of node states, connected with its worker."""
    interval, calls = settings.nodes_interval_seconds, externals.system_calls
    how = NodeRoundSettings(interval_seconds=interval, state=settings.state, system_calls=calls)
    rounds = NodeRounds(worker, how, now, random=externals.random)
    if worker is not None:
        worker.on_answer = lambda _last, answer: rounds.take(answer, externals.clocks.now())
    return rounds


def _backend_workers(workers: dict[str, Worker[Any, Any]]) -> BackendWorkers:
    starts, stops = (tuple(workers[each] for each in names) for names in CHANNEL_WORKERS.values())
    return BackendWorkers(
        starts=SendChannel(starts, stops=False),
        stops=SendChannel(stops, stops=True),
        probe=workers["probe"],
        queries=workers["queries"],
    )


def _connect(parts: DrainParts, workers: dict[str, Worker[Any, Any]]) -> None:
    """Connect the workers with the receivers of their answers."""
    parts.store.on_loaded = parts.texts.want_stored
    parts.delivery.builder.on_old_comments = partial(parts.resolver.recheck_job, needs_all=True)
    parts.delivery.builder.on_missing_user = parts.texts.want_user
    now, delivery = parts.clocks.now, parts.delivery
    for channel in (parts.backend.starts, parts.backend.stops):
        for worker in channel.workers:
            worker.on_answer = lambda request, result: delivery.take_result(request, result, now())
    for name in ("probe", "queries"):
        workers[name].on_answer = lambda query, reply: delivery.questions.take(query, reply, now())
    workers["texts"].on_answer = lambda query, reply: parts.texts.take(query, reply, now())
    if "final-texts" in workers:
        workers["final-texts"].on_answer = lambda _, found: parts.final_texts.take(found, now())
