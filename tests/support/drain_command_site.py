"""A site for `cc-spool drain`: a server that acts when asked, a silent Slurm, and a run."""

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
    """A server that does something when asked."""

    on_request: Callable[[str], None] = staticmethod(lambda _path: None)

    def respond(self, request: Request) -> Answer:
        """Answer one request."""
        self.on_request(request.path)
        return super().respond(request)


@contextmanager
def time_limit() -> Iterator[None]:
    """End a drain that nobody ends."""

    def give_up(*_: object) -> None:
        raise TimeoutError("the drain goes on")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def drain_site(root: Path, server: StubServer) -> CommandSite:
    """Return a site with that server, a silent Slurm, and a run to be delivered."""
    made = CommandSite(root)
    made.document["cc-backend"]["host"] = server.url
    made.document["slurm"] = dict.fromkeys(("squeue", "sacct", "scontrol"), "/bin/false")
    made.write()
    made.put(Directory.TODO, run_of(5, end=END))
    return made


def on_request(server: StubServer, act: Callable[[str], None]) -> None:
    """Let something happen when the server is asked."""
    assert isinstance(server.model, Served)
    server.model.on_request = act


def on_start(server: StubServer, act: Callable[[], None]) -> None:
    """Let something happen when the server gets a start."""
    on_request(server, lambda path: act() if path.endswith("/start_job/") else None)
