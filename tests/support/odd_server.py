"""A server with one unexpected answer, and the requests that it accepted."""

from __future__ import annotations

import json
from collections import Counter

from stub_server import Answer, Model, Request, StubServer

ODD = 3  # the job id whose start gets the unexpected answer


class OddServer(Model):
    """A server with an unexpected answer to the start of one job."""

    odd: Answer | None = None

    def respond(self, request: Request) -> Answer:
        """Answer a request, with the unexpected answer if it is that start."""
        is_start = request.path.endswith("/start_job/")
        if self.odd is not None and is_start and json.loads(request.body)["jobId"] == ODD:
            return self.odd
        return super().respond(request)


def accepted(server: StubServer) -> Counter[tuple[str, int]]:
    """Return how often the start and the stop of each job were accepted."""
    reported = (e for e in server.log if e.method == "POST" and "_job/" in e.path)
    return Counter(
        (e.path.split("/")[-2], json.loads(e.body)["jobId"])
        for e in reported
        if e.status in {200, 201}
    )
