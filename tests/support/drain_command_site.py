"""A site for `cc-spool drain`: a server with an action per request, no Slurm, and one run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from command_site import NOON, CommandSite, run_of
from stub_server import Answer, Model, Request, StubServer

from spool.files.layout import Directory
from spool.files.run import End, EndSource

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)


class Served(Model):
    """A server that calls a function of the test at each request."""

    on_request: Callable[[str], None] = staticmethod(lambda _path: None)

    def respond(self, request: Request) -> Answer:
        """Call the function of the test, then answer the request."""
        self.on_request(request.path)
        return super().respond(request)


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise TimeoutError if the block takes longer than a minute."""

    def give_up(*_: object) -> None:
        raise TimeoutError("the drain goes on")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def drain_site(root: Path, server: StubServer) -> CommandSite:
    """Return a site with that server, a Slurm that does not answer, and a pending run."""
    made = CommandSite(root)
    made.document["cc-backend"]["host"] = server.url
    made.document["slurm"] = dict.fromkeys(("squeue", "sacct", "scontrol"), "/bin/false")
    made.write()
    made.put(Directory.TODO, run_of(5, end=END))
    return made


def on_request(server: StubServer, act: Callable[[str], None]) -> None:
    """Call a function at each request to the server."""
    assert isinstance(server.model, Served)
    server.model.on_request = act


def on_start(server: StubServer, act: Callable[[], None]) -> None:
    """Call a function at each start that the server receives."""
    on_request(server, lambda path: act() if path.endswith("/start_job/") else None)
