"""The connection to the virtual cc-backend: requests are lost, late, rejected or never answered."""

from __future__ import annotations

from collections.abc import Callable

from ccbackend.errors import Fault, TokenError
from ccbackend.wire.transport import ExchangeLimits, HttpAnswer
from simulation.backend import VirtualBackend
from simulation.faults import Answer, Faults
from simulation.jobs import FORBIDDEN
from simulation.scheduler import Scheduler

CLIENT_SECONDS = 60.0  # until the client gives up
SHOWN_CHARACTERS = 110
_FAULTS = {"unreachable": Fault.UNREACHABLE, "broken": Fault.BROKEN, "timed_out": Fault.TIMED_OUT}
_START, _STOP = "/api/jobs/start_job/", "/api/jobs/stop_job/"


class VirtualTransport:
    """A connection to the server, with the interface of `ccbackend.wire.transport.Transport`."""

    def __init__(
        self,
        server: VirtualBackend,
        scheduler: Scheduler,
        faults: Faults,
        say: Callable[[str], None],
    ) -> None:
        self.limits = ExchangeLimits()
        self.connections = 1
        self._server = server
        self._scheduler = scheduler
        self._faults = faults
        self._say = say

    def token(self) -> str:
        """Return the token.

        Raises:
            TokenError: its file cannot be used now.
        """
        if self._faults.token == "unreadable":
            raise TokenError("token", "cannot be read", "correct its mode")
        return self._faults.token or "good"

    def close(self) -> None:
        """Close the connection."""

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        limit_bytes: int | None = None,
        with_token: bool = True,
    ) -> HttpAnswer:
        """Send one request and return its answer.

        Raises:
            TokenError: the token cannot be used.
        """
        del limit_bytes
        token = self.token() if with_token else None
        answer = self._exchange(method, path, body, token)
        shown = (body or b"").decode()[:SHOWN_CHARACTERS]
        result = answer.status if answer.fault is None else answer.fault
        late = self._scheduler.clock.ahead
        self._say(
            f"{method} {path} {shown} -> {result} {answer.text[:SHOWN_CHARACTERS]} (+{late:.2f} s)"
        )
        return answer

    def _exchange(
        self, method: str, path: str, body: bytes | None, token: str | None
    ) -> HttpAnswer:
        clock, random, faults = self._scheduler.clock, self._scheduler.random, self._faults
        clock.ahead += random.uniform(0.001, 0.01)
        answer = self._refused(path, body) or self._authenticated(path, token)
        if answer is not None:
            return self._answer(*answer)
        if path == _START and self._is_silent(body):
            return self._silent(method, path, body)
        if random.random() < faults.lost_share:
            return self._lost(method, path, body)
        if random.random() < faults.delayed_share:
            clock.ahead += random.choice([2.0, 10.0, 30.0, 50.0])
        return self._answer(*self._server.handle(method, path, body))

    def _authenticated(self, path: str, token: str | None) -> Answer | None:
        """Return the version page or the refusal of a wrong token; None for other requests."""
        if path == "/login":
            return 200, f"<footer>Version {self._server.version}</footer>"
        if token is not None and token != self._server.token:
            return 401, '{"error":"unauthorized"}'
        return None

    def _refused(self, path: str, body: bytes | None) -> Answer | None:
        """Return the answer of a fault instead of the server's; None if no fault applies."""
        faults = self._faults
        kind = {_START: "start" if body else "", _STOP: "stop"}.get(path, "")
        failing = {"start": faults.starts_fail, "stop": faults.stops_fail}.get(kind)
        if path == "/api/clusters/" and faults.clusters_fail:
            failing = 503, "unavailable"
        return faults.outage or failing or (self._refused_body(kind, body) if body else None)

    def _refused_body(self, kind: str, body: bytes) -> Answer | None:
        """Return the answer of a fault that affects only this body; None if there is none."""
        faults = self._faults
        if faults.refused_answer is not None and FORBIDDEN.encode() in body:
            return faults.refused_answer
        if not kind or not faults.poison:
            return None
        poisoned, answer = faults.poison.get(_job_id(body), ("", (0, "")))
        return answer if kind == poisoned else None

    def _answer(self, status: int, text: str) -> HttpAnswer:
        clock = self._scheduler.clock
        if status:
            return HttpAnswer(status=status, text=text)
        if text == "timed_out":
            clock.ahead += CLIENT_SECONDS
        return HttpAnswer(fault=_FAULTS[text], text=text, sent=text != "unreachable")

    def _is_silent(self, body: bytes | None) -> bool:
        return (
            bool(self._faults.silent) and body is not None and _job_id(body) in self._faults.silent
        )

    def _silent(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        """Accept a request and never answer it; it may take effect nevertheless."""
        if self._scheduler.random.random() < 0.5:
            self._server.handle(method, path, body)
        self._scheduler.clock.ahead += CLIENT_SECONDS
        return HttpAnswer(fault=Fault.TIMED_OUT, text="silence")

    def _lost(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        """Lose a request or its answer: it takes no effect, takes effect, or does so later."""
        random, clock = self._scheduler.random, self._scheduler.clock
        fate = random.choice(["unsent", "lost", "done", "done", "late"])
        if fate == "unsent":
            return HttpAnswer(fault=Fault.UNREACHABLE, text="refused", sent=False)
        if fate == "done":
            self._server.handle(method, path, body)
        if fate == "late":
            clock.ahead += CLIENT_SECONDS
            delay = random.uniform(0.0, CLIENT_SECONDS + 10.0)
            self._scheduler.after(delay, lambda: self._take_late_effect(method, path, body))
            return HttpAnswer(fault=Fault.TIMED_OUT, text="late")
        return HttpAnswer(
            fault=random.choice([Fault.BROKEN, Fault.BROKEN, Fault.TIMED_OUT]), text=fate
        )

    def _take_late_effect(self, method: str, path: str, body: bytes | None) -> None:
        status, _ = self._server.handle(method, path, body)
        self._say(f"late effect: {method} {path} {(body or b'').decode()[:60]} -> {status}")


def _job_id(body: bytes) -> int:
    """Return the job id that a request is about."""
    digits = body.partition(b'"jobId":')[2].partition(b",")[0].partition(b"}")[0]
    return int(digits or 0)
