"""Faults that are injected into the small server and the small Slurm.

Each request or call meets the first fault that applies, in the order of injection. A fault ends
after `count` uses, or when it is lifted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

POLL_SECONDS = 0.02


class Kind(StrEnum):
    """What happens to a request."""

    STATUS = "status"  # answered with another status and text; nothing is stored
    RESET = "reset"  # the connection is reset before anything is stored
    LOSE = "lose"  # stored as usual, then the connection is reset: the answer is lost
    SILENCE = "silence"  # read and never answered, not stored
    DROP = "swallow"  # stored as usual and never answered
    DRIP = "drip"  # the answer comes a byte at a time


@dataclass(frozen=True, kw_only=True)
class ServerFault:
    """A fault of cc-backend, or of something in front of it.

    None matches everything: `endpoints` are names of `server.ENDPOINTS`, `job_ids` those of a
    request's body, `containing` is a text in the body. `chance` is the share of requests hit.
    """

    kind: Kind
    endpoints: tuple[str, ...] | None = None
    job_ids: frozenset[int] | None = None
    containing: bytes | None = None
    chance: float = 1.0
    status: int = 500
    text: str = ""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SlurmFault:
    """A fault of a command; each of `words` must be the beginning of one of its arguments.

    `seconds` delays the answer; `hangs` withholds it until the fault is lifted. With `status`
    None the command gives the true answer, changed by `lie`.
    """

    command: str | None = None
    words: tuple[str, ...] = ()
    hangs: bool = False
    seconds: float = 0.0
    status: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    alter: Callable[[bytes], bytes] | None = None


class Matched(Protocol):
    """A function that returns whether a fault applies to one request."""

    def __call__(self, fault: ServerFault | SlurmFault) -> bool:
        """Return whether the fault applies."""


@dataclass(eq=False)
class Injected:
    """An active fault; `left`: the uses that remain (None: until it is lifted)."""

    fault: ServerFault | SlurmFault
    left: int | None
    is_lifted: threading.Event = field(default_factory=threading.Event)
    hits: int = 0


class Faults:
    """The active faults of one server or one Slurm; safe for several threads."""

    def __init__(self) -> None:
        self._live: list[Injected] = []
        self._lock = threading.Lock()

    def inject(self, fault: ServerFault | SlurmFault, *, count: int | None = None) -> Injected:
        """Let a fault happen to the next `count` matching requests, or until it is lifted."""
        injected = Injected(fault, count)
        with self._lock:
            self._live.append(injected)
        return injected

    def lift(self, injected: Injected) -> None:
        """End a fault; requests that hang because of it continue."""
        with self._lock:
            if injected in self._live:
                self._live.remove(injected)
        injected.is_lifted.set()

    def lift_all(self) -> None:
        """End every fault."""
        with self._lock:
            lifted, self._live = self._live, []
        for injected in lifted:
            injected.is_lifted.set()

    def chosen(self, matches: Matched) -> Injected | None:
        """Return the first active fault that applies to a request, and count the use."""
        with self._lock:
            for injected in self._live:
                if matches(injected.fault):
                    injected.hits += 1
                    if injected.left is not None:
                        injected.left -= 1
                        if injected.left == 0:
                            self._live.remove(injected)
                    return injected
        return None

    @property
    def live(self) -> Iterable[Injected]:
        """Return the active faults."""
        with self._lock:
            return tuple(self._live)


def wait_for(condition: Callable[[], object], seconds: float) -> float | None:
    """Wait until a condition is true; return how many seconds that took, None if it took longer."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
