"""A server with one odd answer, and what it accepted."""

from __future__ import annotations

import json
from collections import Counter

from stub_server import Answer, Model, Request, StubServer

ODD = 3  # whose start gets a strange answer


class OddServer(Model):
    """A server with one strange answer to one start."""

    odd: Answer | None = None

    def respond(self, request: Request) -> Answer:
        """Answer."""
        is_start = request.path.endswith("/start_job/")
        if self.odd is not None and is_start and json.loads(request.body)["jobId"] == ODD:
            return self.odd
        return super().respond(request)


def accepted(server: StubServer) -> Counter[tuple[str, int]]:
    """Return how often the start and the stop of each job were accepted."""
    told = (e for e in server.log if e.method == "POST" and "_job/" in e.path)
    return Counter(
        (e.path.split("/")[-2], json.loads(e.body)["jobId"]) for e in told if e.status in {200, 201}
    )
