"""Assemble a drain from parts that the caller provides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from spool.deliver.backend_health import BackendHealth
from spool.deliver.channel import SendChannel
from spool.deliver.compose import PayloadComposer
from spool.deliver.counters import ActivityCounters
from spool.deliver.delivery import Delivery
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import Schedule
from spool.deliver.senders import BackendSender
from spool.deliver.server_questions import BackendWorkers
from spool.deliver.settlement import DeliveryPolicy
from spool.drain.apply_resolutions import ResolutionApplier
from spool.drain.externals import DrainSettings, Externals
from spool.drain.final_texts import FinalTexts
from spool.drain.loop import Drain, DrainParts
from spool.drain.node_rounds import NodeRounds
from spool.drain.recovery import recover
from spool.drain.same_job import SameJobProof
from spool.drain.service import Service
from spool.drain.slurm_questions import SlurmQuestions
from spool.drain.text_collector import TextCollector
from spool.errors import BadFileError
from spool.files.archive import DeliveredArchive
from spool.files.drain_state import DrainState, DrainStateFile, read_drain_state
from spool.files.layout import Layout
from spool.files.state_files import DELIVERED_DIRECTORY, DRAIN_STATE_FILE, CrashMarker
from spool.moment import Moment
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolver import Resolver
from spool.resolve.slurm_worker import SlurmReader
from spool.worker import Worker

CHANNEL_WORKERS = {
    name: (name, f"{name}-2", f"{name}-3") for name in ("starts", "stops")
}  # one of a channel is enough while cc-backend answers
BACKEND_WORKERS = (*CHANNEL_WORKERS["starts"], *CHANNEL_WORKERS["stops"], "probe", "queries")


def assemble(
    settings: DrainSettings, composer: PayloadComposer, externals: Externals, *, layout: Layout
) -> Service:
    """Return a drain as a service that has read the spool; the caller holds the drain's lock.

    Raises:
        OSError: the state directory cannot be written.
    """
    now, state_path = externals.clocks.now(), settings.state / DRAIN_STATE_FILE
    previous = _previous_state(state_path)
    last_delivery = _past(previous.last_delivery, now)
    counters = ActivityCounters(previous.counters, last_delivery=last_delivery)
    workers = _workers(externals)
    parts = _Assembly(settings, externals, layout, workers).parts(composer, counters)
    _connect(parts, workers)
    drain = Drain(parts, last_event=_past(previous.last_event, now))
    recover(layout, parts.store, parts.loader, now)
    return Service(
        drain,
        parts,
        externals,
        workers=tuple(workers.values()),
        state_file=DrainStateFile(state_path, system_calls=externals.system_calls),
        watch=externals.new_watch(layout, externals.answers),
    )


class _Assembly:
    """The builder of a drain's parts, with the objects that several parts share."""

    def __init__(
        self,
        settings: DrainSettings,
        externals: Externals,
        layout: Layout,
        workers: dict[str, Worker[Any, Any]],
    ) -> None:
        calls = externals.system_calls
        self._settings = settings
        self._externals = externals
        self._workers = workers
        self._now = externals.clocks.now()
        self._crash_marker = CrashMarker(settings.state / "handling", calls)
        self._archive = DeliveredArchive(
            settings.state / DELIVERED_DIRECTORY, keep_days=settings.keep_days, system_calls=calls
        )
        self._loader = RunLoader(layout, self._crash_marker)
        self._store = RunStore(
            layout,
            Schedule(),  # without a hold: `Delivery.fill` sets it as the server's version demands
            self._archive,
            loader=self._loader,
            new_batch=externals.new_batch,
        )
        self._health = BackendHealth(externals.random)
        self._proof = SameJobProof(self._store, externals.clocks)
        self._scanner, self._resolver = EventScanner(layout, self._crash_marker), Resolver()

    def parts(self, composer: PayloadComposer, counters: ActivityCounters) -> DrainParts:
        """Return the drain's parts; `_connect` then sets which part receives which answers."""
        store, workers, externals = self._store, self._workers, self._externals
        builder = RequestBuilder(store, self._health, composer, self._crash_marker)
        final_texts = FinalTexts(store, builder, composer, workers.get("final-texts"))
        texts = TextCollector(
            store,
            builder,
            workers["texts"],
            wants_texts=self._settings.wants_texts,
            began=self._now.wall,
        )
        applier = ResolutionApplier(
            store,
            self._scanner,
            resolver=self._resolver,
            builder=builder,
            texts=texts,
            final_texts=final_texts,
        )
        return DrainParts(
            layout=store.layout,
            loader=self._loader,
            store=store,
            archive=self._archive,
            crash_marker=self._crash_marker,
            scanner=self._scanner,
            resolver=self._resolver,
            applier=applier,
            texts=texts,
            final_texts=final_texts,
            slurm=self._slurm_questions(applier),
            health=self._health,
            delivery=self._delivery(builder, counters),
            counters=counters,
            nodes=self._node_rounds(),
            answers=externals.answers,
            clocks=externals.clocks,
            min_free_bytes=self._settings.min_free_bytes,
        )

    def _slurm_questions(self, applier: ResolutionApplier) -> SlurmQuestions:
        return SlurmQuestions(
            self._store,
            self._resolver,
            applier,
            proof=self._proof,
            controller=self._workers["controller"],
            accounting=self._workers["accounting"],
        )

    def _delivery(self, builder: RequestBuilder, counters: ActivityCounters) -> Delivery:
        settings, workers = self._settings, self._workers
        starts, stops = (
            tuple(workers[each] for each in names) for names in CHANNEL_WORKERS.values()
        )
        return Delivery(
            self._store,
            self._health,
            builder,
            workers=BackendWorkers(
                starts=SendChannel(starts, stops=False),
                stops=SendChannel(stops, stops=True),
                probe=workers["probe"],
                queries=workers["queries"],
            ),
            policy=DeliveryPolicy(
                hold_seconds=settings.hold_seconds,
                replace_earlier=settings.replace_earlier,
                prove=self._proof,
            ),
            counters=counters,
        )

    def _node_rounds(self) -> NodeRounds:
        return NodeRounds(
            self._workers.get("nodes"),
            self._now,
            interval_seconds=self._settings.nodes_interval_seconds,
            state=self._settings.state,
            system_calls=self._externals.system_calls,
            random=self._externals.random,
        )


def _previous_state(path: Path) -> DrainState:
    """Return the state that the previous drain left; the defaults if it is not known."""
    try:
        return read_drain_state(path) or DrainState()
    except (BadFileError, OSError):
        return DrainState()


def _past(instant: float | None, now: Moment) -> float | None:
    """Return the instant, or now if it is in the future."""
    return None if instant is None else min(instant, now.wall)


def _workers(externals: Externals) -> dict[str, Worker[Any, Any]]:
    """Return the workers by name, one for each source that may hang; no thread runs yet."""
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


def _connect(parts: DrainParts, workers: dict[str, Worker[Any, Any]]) -> None:
    """Set the callbacks between the parts, and which part receives each worker's answers."""
    parts.store.on_loaded = parts.texts.want_stored
    parts.delivery.builder.on_old_comments = partial(parts.resolver.recheck_job, needs_all=True)
    parts.delivery.builder.on_missing_user = parts.texts.want_user
    now, delivery, replies = parts.clocks.now, parts.delivery, parts.delivery.replies
    for channel in (delivery.workers.starts, delivery.workers.stops):
        for worker in channel.workers:
            worker.on_answer = lambda request, result: replies.take_result(request, result, now())
    for name in ("probe", "queries"):
        workers[name].on_answer = lambda query, reply: delivery.questions.take(query, reply, now())
    slurm = parts.slurm
    slurm.controller.on_answer = lambda query, reply: slurm.take_controller(query, reply, now())
    slurm.accounting.on_answer = lambda query, reply: slurm.take_accounting(query, reply, now())
    workers["texts"].on_answer = lambda _, reply: parts.texts.take(reply, now())
    if "nodes" in workers:
        workers["nodes"].on_answer = lambda _last, answer: parts.nodes.take(answer, now())
    if "final-texts" in workers:
        workers["final-texts"].on_answer = lambda _, found: parts.final_texts.take(found, now())
