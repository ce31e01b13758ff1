"""Run a drain for ever or once: housekeeping around its passes, and an orderly end.

At SIGTERM nothing new is claimed; a request that does not end within 10 s is abandoned (its outcome
is unknown, telling it again is harmless), what is known is made durable, and the exit is clean.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from slurm.errors import SlurmError
from spool.deliver.destination import Health
from spool.deliver.senders import Sender
from spool.drain.loop import Drain, DrainParts
from spool.drain.state_writer import DrainStateWriter, json_object, notify_systemd
from spool.escaping import escape
from spool.files.archive import DeliveredArchive
from spool.files.layout import Directory

COMPARE_SECONDS = 3600.0
COMPARE_AGAIN_SECONDS = 60.0
SHUTDOWN_SECONDS = 8.0
ONCE_SECONDS = 30.0
ONCE_TRIES = 3
SOON_SECONDS = 1.0
_log = logging.getLogger(__name__)


class ListedJob(Protocol):
    """One line of Slurm's listing; `slurm.client.Slurm.listing` returns such."""

    @property
    def job_id(self) -> int:
        """Return the job's id."""

    @property
    def start_time(self) -> int | None:
        """Return when the run began; None if it did not."""

    @property
    def is_live(self) -> bool:
        """Tell whether the run is not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """What the service needs beside the drain's parts.

    `listing` returns all jobs that Slurm's controller has. `inputs_changed` tells whether token or
    configuration changed since it was last asked.
    """

    senders: tuple[Sender, ...]
    archive: DeliveredArchive
    state_writer: DrainStateWriter
    listing: Callable[[], Iterable[ListedJob]]
    inputs_changed: Callable[[], bool]
    clock: Callable[[], float]


class Service:
    """A drain with its housekeeping. `stop` may be called by a signal handler."""

    def __init__(self, drain: Drain, parts: DrainParts, service_parts: ServiceParts) -> None:
        self._drain = drain
        self._parts = parts
        self._service_parts = service_parts
        self._stopping = False
        self._handed_over = False
        self._once = False
        self._compare_at = 0.0

    def stop(self) -> None:
        """Let the current pass be the last."""
        self._stopping = True

    def hand_over(self) -> None:
        """Let the current pass be the last, for a service that goes on in this process.

        systemd must not hear that we stop: it would kill the successor (systemd v257,
        src/core/service.c, service_notify_message).
        """
        self._handed_over = True
        self.stop()

    def run(self) -> None:
        """Work until `stop` or `hand_over`."""
        self._start_senders()
        notify_systemd("READY=1")
        while not self._stopping:
            self._pass()
        if not self._handed_over:
            notify_systemd("STOPPING=1")
        self.shut_down()

    def run_once(self) -> bool:
        """Work until nothing can be done now; True if nothing waits any more.

        While cc-backend is down three probes within 30 s are tried; a backlog takes as long as
        it takes.
        """
        self._once = True
        self._start_senders()
        until, accepted = self._service_parts.clock() + ONCE_SECONDS, 0
        while not self._stopping:
            self._pass()
            if self._parts.backend_health.accepted > accepted:
                until = self._service_parts.clock() + ONCE_SECONDS
                accepted = self._parts.backend_health.accepted
            if self._is_idle():
                self._drain.flush()
                break
            if self._gives_up(until):
                break
        self.shut_down()
        names = self._parts.layout.names
        return not any(True for d in (Directory.NEW, Directory.TODO) for _ in names(d))

    def shut_down(self) -> None:
        """End the senders, take their last replies, make everything durable."""
        deadline = self._service_parts.clock() + SHUTDOWN_SECONDS
        for sender in self._service_parts.senders:
            sender.close()
        for sender in self._service_parts.senders:
            if not sender.join(max(0.1, deadline - self._service_parts.clock())):
                _log.warning("a request is abandoned; it will be told again")
        self._drain.take_results(0.0)
        self._drain.flush()
        self._write_state()

    def _start_senders(self) -> None:
        for sender in self._service_parts.senders:
            sender.start()
        self._write_state()

    def _pass(self) -> None:
        now = self._service_parts.clock()
        if now >= self._compare_at:
            self._compare(now)
        if self._service_parts.inputs_changed():
            self._parts.backend_health.cause_changed(now)
        self._drain.step()
        self._write_state()
        notify_systemd("WATCHDOG=1")

    def _compare(self, now: float) -> None:
        """Have open runs looked up that Slurm does not list as running."""
        self._compare_at = now + COMPARE_SECONDS
        self._service_parts.archive.expire(now)
        if not self._parts.store.schedule:
            return
        try:
            listed = list(self._service_parts.listing())
        except SlurmError as error:
            self._compare_at = now + COMPARE_AGAIN_SECONDS
            _log.warning("open runs are not compared: %s", escape(str(error)))
            return
        live = {job.job_id: job.start_time or 0 for job in listed if job.is_live}
        doubtful = self._drain.recheck_missing(live)
        if doubtful:
            _log.info("%d open runs are not running in Slurm: looking them up", doubtful)

    def _write_state(self) -> None:
        backend_health, parts = self._parts.backend_health, self._parts
        server = backend_health.server
        state = {
            "destination": json_object(backend_health.destination),
            "server": server
            and {"version": server.version and str(server.version), "dialect": server.dialect},
            "slurm_silent_since": parts.resolver.silent_since,
            "disk_full": self._drain.is_full,
            "inquiries": len(parts.resolver),
            "unknown_hosts": parts.delivery.unknown_hosts,
            "once": self._once,
        }
        self._service_parts.state_writer.write(state, self._service_parts.clock())

    def _is_idle(self) -> bool:
        """Tell whether nothing but writing is left to do within a second."""
        parts, now = self._parts, self._service_parts.clock()
        look = parts.resolver.next_time()
        return (
            not parts.delivery.outstanding
            and (look is None or look > now + SOON_SECONDS)
            and parts.backend_health.is_up
            and not parts.store.schedule.is_ready(now)
        )

    def _gives_up(self, until: float) -> bool:
        """Tell whether a run for once has waited long enough."""
        destination = self._parts.backend_health.destination
        halted = destination.health is Health.HALTED
        return halted or destination.failures >= ONCE_TRIES or self._service_parts.clock() >= until
