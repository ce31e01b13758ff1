"""Features of the stub server beyond the recordings: clocks, queues, faults, size, a process."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from stub_server import Fault, Kind, Model, StubServer, Worker, refusal

STUB = Path(__file__).parent / "support" / "stub_server.py"
BEGAN = 1_767_225_600
QUERY = "query($f:[JobFilter!],$p:PageRequest){ jobs(filter:$f,page:$p){ count items{ jobId } } }"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = float(BEGAN)

    def __call__(self) -> float:
        """Return the time that was set."""
        return self.now


def start(job_id: int, **fields: Any) -> dict[str, Any]:
    """Return the body of a start."""
    resources = [{"hostname": "n1"}]
    base = {"jobId": job_id, "user": "ada", "cluster": "lab", "numNodes": 1, "startTime": BEGAN}
    return base | {"resources": resources} | fields


def reported(model: Model, job_id: int, **fields: Any) -> int:
    """Send a start and return the status of the answer."""
    body = json.dumps(start(job_id, **fields))
    return model.answer("POST", "/api/jobs/start_job/", body, model.token).status


def stopped(model: Model, job_id: int) -> int:
    """Send a stop and return the status of the answer."""
    body = {"jobId": job_id, "cluster": "lab", "startTime": BEGAN, "stopTime": BEGAN + 60}
    return model.answer("POST", "/api/jobs/stop_job/", json.dumps(body), model.token).status


def listed(model: Model) -> int:
    """Return the number of jobs in the job list."""
    answer = model.answer("GET", "/api/jobs/?items-per-page=1000", "", model.token)
    return len(json.loads(answer.body)["jobs"])


@contextmanager
def connection(server: StubServer) -> Iterator[http.client.HTTPConnection]:
    """Open a connection with a short timeout."""
    found = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=0.2)
    yield found
    found.close()


def asked(peer: http.client.HTTPConnection, path: str = "/login") -> int:
    """Request a page and return the status."""
    peer.request("GET", path)
    response = peer.getresponse()
    response.read()
    return response.status


def test_the_job_cache_is_committed_after_its_interval() -> None:
    """The first request that comes 120 s later, by the stub's clock, commits the start."""
    clock = Clock()
    model = Model(version="1.5.4", commit_seconds=120.0, clock=clock)
    reported(model, 1)
    before = listed(model)
    clock.now += 120.0

    assert (0, 1) == (before, listed(model))


def test_the_job_cache_is_committed_on_request() -> None:
    """Without an interval the stub commits a start only when `commit` is called."""
    model = Model(version="1.5.4")
    reported(model, 1)
    before = listed(model)
    model.commit()

    assert (0, 1) == (before, listed(model))


def test_a_row_both_cached_and_stored_makes_the_stop_fail() -> None:
    """cc-backend 1.5.4 answers such a stop with 500 until the next commit of its job cache."""
    model = Model(version="1.5.4")
    reported(model, 1, tags=[{"type": "a", "name": "b"}])
    model.cache[1, "lab", BEGAN] = start(1) | {"jobState": "running"}
    statuses = [stopped(model, 1)]
    model.commit()
    statuses.append(stopped(model, 1))

    assert [500, 200] == statuses


def test_a_queued_start_is_unknown_until_the_worker_stores_it() -> None:
    """cc-backend 1.4.0 and 1.4.1 answer before they store; a stop gets 422 until then."""
    model = Model(version="1.4.1", worker=Worker.MANUAL)
    statuses = [reported(model, 1), stopped(model, 1)]
    model.work()
    statuses.append(stopped(model, 1))

    assert [201, 422, 200] == statuses


def test_a_start_that_the_database_refuses_delays_the_next_one() -> None:
    """After five seconds the next start is stored; the refused one never is."""
    clock = Clock()
    model = Model(version="1.4.0", worker=Worker.REAL, clock=clock)
    statuses = [reported(model, 1, smt=2), reported(model, 2)]
    counts = []
    for seconds in (0.1, 4.0, 1.0):
        clock.now += seconds
        counts.append(listed(model))

    assert ([201, 201], [0, 0, 1]) == (statuses, counts)


def test_a_full_queue_stores_its_oldest_start() -> None:
    """The queue has 128 places; the real handler waits for a free one, the stub does not."""
    model = Model(version="1.4.0", worker=Worker.MANUAL)
    for job_id in range(1, 131):
        reported(model, job_id)

    assert (2, 128) == (len(model.job), len(model.queue))


def test_an_upgrade_keeps_the_rows_and_uses_the_new_dialect() -> None:
    """1.5.4 shows the sharing of a 1.4.4 row in its own words and rejects the old field."""
    model = Model(version="1.4.4")
    reported(model, 1, exclusive=0)
    model.version = "1.5.4"
    answer = model.answer("GET", "/api/jobs/?state=running", "", model.token)

    assert ["multi_user"] == [job["shared"] for job in json.loads(answer.body)["jobs"]]
    assert [400, 201] == [reported(model, 2, exclusive=0), reported(model, 2, shared="none")]


def test_nats_mode_has_no_job_routes() -> None:
    """With NATS the routes for starts and stops answer 404; the job list is still answered."""
    model = Model(version="1.5.4", nats=True)
    statuses = [reported(model, 1), stopped(model, 1)]
    statuses.append(model.answer("GET", "/api/jobs/", "", model.token).status)

    assert [404, 404, 200] == statuses


def test_a_poisoned_job_is_refused_and_the_others_are_not() -> None:
    """The start of the chosen job gets the configured 400, the others get 201."""
    model = Model(poison={2: refusal(400, "made up")})

    assert [201, 400, 201] == [reported(model, job_id) for job_id in (1, 2, 3)]


def test_a_token_that_was_changed_is_refused() -> None:
    """The stub answers the old token with 401 and the new one with 200 at once."""
    model = Model()
    old, model.token = model.token, "TOKEN:new"
    statuses = [model.answer("GET", "/api/jobs/", "", token).status for token in (old, "TOKEN:new")]

    assert [401, 200] == statuses


def test_a_general_refusal_answers_every_request() -> None:
    """The stub answers 503 as a proxy does while its server is unreachable."""
    model = Model(everything=refusal(503, "away"))

    assert {503} == {reported(model, 1), model.answer("GET", "/login", "", None).status}


def test_one_query_lists_fifty_thousand_running_jobs() -> None:
    """The GraphQL query asks for 100000 rows a page and gets count and rows of all."""
    model = Model(version="1.5.4")
    for job_id in range(1, 50_001):
        model.job[job_id, "lab", BEGAN] = {"jobState": "running"}
    variables = {"f": [{"state": ["running"]}], "p": {"itemsPerPage": 100_000, "page": 1}}
    body = json.dumps({"query": QUERY, "variables": variables})
    jobs = json.loads(model.answer("POST", "/query", body, model.token).body)["data"]["jobs"]

    assert (50_000, 50_000) == (jobs["count"], len(jobs["items"]))


def test_silence_lasts_until_the_fault_is_removed() -> None:
    """A request times out during the fault SILENCE; a request after its removal is answered."""
    with StubServer() as server, connection(server) as peer:
        server.fail(Fault(Kind.SILENCE))
        with pytest.raises(TimeoutError):
            asked(peer)
        server.fail(None)
        peer.close()

        assert 200 == asked(peer)


def received(server: StubServer) -> list[bytes]:
    """Return the answer to one request, in the pieces in which it was received."""
    address = urlsplit(server.url)
    pieces = []
    with socket.create_connection((address.hostname, address.port or 0), 10) as peer:
        peer.sendall(b"GET /login HTTP/1.1\r\n\r\n")
        while piece := peer.recv(1 << 16):
            pieces.append(piece)
    return pieces


def test_the_fault_reset_resets_the_connection() -> None:
    """The reset comes instead of an answer."""
    with StubServer() as server:
        server.fail(Fault(Kind.RESET))
        with pytest.raises(ConnectionResetError):
            received(server)


@pytest.mark.parametrize(
    ("fault", "size"), [(Fault(Kind.CLOSE), 0), (Fault(Kind.CUT, handled=True, after_bytes=9), 9)]
)
def test_a_connection_ends_at_the_configured_byte(fault: Fault, size: int) -> None:
    """The fault CLOSE sends no byte of the answer, CUT only the first 9."""
    with StubServer() as server:
        server.fail(fault)

        assert b"HTTP/1.1 200 OK"[:size] == b"".join(received(server))


def test_the_fault_drip_sends_an_answer_in_small_pieces() -> None:
    """The answer is complete after more than 20 pieces."""
    with StubServer() as server:
        server.fail(Fault(Kind.DRIP, handled=True, pause_seconds=0.001))
        pieces = received(server)

    assert b"".join(pieces).endswith(b"</html>\n")
    assert len(pieces) > 20


def test_a_start_is_stored_although_its_answer_is_not_sent() -> None:
    """With the fault CLOSE and `handled` the start gets no answer; the next request is answered."""
    with StubServer() as server, connection(server) as peer:
        server.fail(Fault(Kind.CLOSE, times=1, path="/api/jobs/start_job/", handled=True))
        statuses = [asked(peer)]
        token = {"X-Auth-Token": "TOKEN:api"}
        peer.request("POST", "/api/jobs/start_job/", json.dumps(start(1)), token)
        with pytest.raises(http.client.RemoteDisconnected):
            peer.getresponse()
        peer.close()
        statuses.append(asked(peer))

        assert {(1, BEGAN): "running"} == server.rows()
    assert [200, 200] == statuses


def test_a_closed_stub_refuses_connections() -> None:
    """The port of the stub is free again."""
    with StubServer() as server:
        port = urlsplit(server.url).port

    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port).connect()


def test_the_stub_runs_as_a_process_without_other_packages(tmp_path: Path) -> None:
    """The process prints its URL, accepts control requests and exits with 0 on SIGTERM."""
    parts = [{"name": "main", "nodes": "n[1-4]"}]
    clusters = tmp_path / "clusters.json"
    clusters.write_text(json.dumps([{"name": "lab", "subClusters": parts}]))
    options = ["--version", "1.5.4", "--clusters", str(clusters), "--control"]
    command = [sys.executable, "-E", "-S", str(STUB), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        peer = http.client.HTTPConnection(urlsplit(process.stdout.readline().strip()).netloc)
        answers = []
        for path, body in (
            ("/stub/poison", {"job_id": 2, "status": 400, "words": "made up"}),
            ("/api/jobs/start_job/", start(1)),
            ("/api/jobs/start_job/", start(2)),
            ("/stub/commit", None),
        ):
            peer.request("POST", path, json.dumps(body), {"X-Auth-Token": "TOKEN:api"})
            response = peer.getresponse()
            answers.append((response.status, json.loads(response.read())))
        peer.close()
        process.terminate()

    assert [200, 201, 400, 200] == [status for status, _ in answers]
    rows = answers[-1][1]
    assert ([1], []) == ([row["jobId"] for row in rows["job"]], rows["job_cache"])
    assert 0 == process.returncode
