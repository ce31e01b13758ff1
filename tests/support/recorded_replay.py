"""Replay recorded scenarios to a stub server, and return its answers and its tables.

The notes of the exchanges name the settings with which a recorded server was started; the stub gets
the same settings. At a pause of the recorded client the stub commits its job cache.
"""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from recorded_backend import (
    Recorded,
    RecordedAnswer,
    Scenario,
    Snapshot,
    clusters,
    scenarios,
    version_of,
)
from stub_backend.auth import ACCOUNTS
from stub_backend.render import duration, sharing
from stub_backend.tables import Key, Row
from stub_server import Model, StubServer, Worker

NOW = 1_795_000_000
COMMIT_PAUSE_SECONDS = 1.0
Rows = Mapping[str, list[dict[str, Any]]]

_COLUMNS = {
    "id": "id",
    "job_id": "jobId",
    "cluster": "cluster",
    "subcluster": "subCluster",
    "start_time": "startTime",
    "job_state": "jobState",
    "monitoring_status": "monitoringStatus",
    "smt": "smt",
    "num_nodes": "numNodes",
    "num_hwthreads": "numHwthreads",
    "num_acc": "numAcc",
    "walltime": "walltime",
    "array_job_id": "arrayJobId",
    "project": "project",
}
_NUMBERS = frozenset(
    {
        *("jobId", "startTime", "smt", "numNodes", "numHwthreads", "numAcc", "walltime"),
        "arrayJobId",
    }
)

# Where a note begins like this, the recorded server was started again with an empty database.
_RESTARTS: Mapping[str, tuple[str, ...]] = {
    "auth-ip-denied": (
        *("only 192.0.2.7 listed", "empty list", "setting absent", "star second", "peer listed"),
    ),
    "auth-unknown-user": ("validation on",),
    "delete-then-restart": ("committed:", "cached:"),
    "start-requeue-within-24h": ("committed:", "cached:"),
    "start-twice": ("second server",),
    "nats-mode": ("no broker:", "broker:"),
}
_ADDRESSES: Mapping[str, tuple[str, ...] | None] = {
    "only 192.0.2.7 listed": ("192.0.2.7",),
    "empty list": (),
    "setting absent": None,
    "star second": ("192.0.2.7", "*"),
    "peer listed": ("127.0.0.1",),
}
# The token that `TOKEN:other` stands for, by the beginning of the note; by default a foreign one.
_OTHER_TOKENS = {
    "alg none": "unsigned",
    "HS256": "unsigned",
    "expired": "expired",
    "not before 2100": "early",
    "issued in 2100": "issued-later",
    "no iat, no exp": "svc",
    "validation off, unknown user": "stranger",
    "validation on, unknown user": "stranger",
    "validation on, token claims api": "plain",
}
# The recorded server committed between this exchange and the one before, according to its clock.
_COMMITTED_BEFORE = {"timestamp in seconds"}
_ATTEMPTS_SECONDS = 5.0
# 1.4.0 and 1.4.1: at these exchanges the worker had not yet stored the last start.
_STILL_QUEUED = {("start-bad-types", "jobId = 0"), ("stop-immediately-after-start", "stop 4")}
_QUEUED_ON_1_4_0_ALONE = "stop 4"


@dataclass(frozen=True)
class Played:
    """A recorded exchange and the answer of the stub to its request."""

    recorded: Recorded
    answer: RecordedAnswer


@dataclass(frozen=True)
class Seen:
    """The tables recorded at one moment, and the tables of the stub at the same moment."""

    release: str
    scenario: str
    note: str
    recorded: Rows
    rows: Rows


@dataclass(frozen=True)
class Step:
    """An exchange or a snapshot, and the seconds since the previous step."""

    what: Recorded | Snapshot
    pause: float


def play(release: str, name: str) -> Iterator[Played | Seen]:
    """Replay one scenario of a release over HTTP, after the steps of its setup."""
    scenario = scenarios(release)[name]
    with (
        StubServer(new_model(release)) as server,
        closing(_Replay(release, name, server)) as replay,
    ):
        waiting = list(_steps(scenarios(release)[scenario.setup])) if scenario.setup else []
        for step in _steps(scenario):
            if waiting and step.what.at > waiting[-1].what.at:
                for each in waiting:
                    replay.play(each)
                waiting.clear()
            answer = replay.play(step)
            if isinstance(step.what, Recorded):
                yield Played(step.what, answer)
            else:
                rows = tables_of(server.model)
                yield Seen(release, name, step.what.note, step.what.rows, rows)
        replay.work(step.what.at)
        yield Seen(release, name, "the end", scenario.rows, tables_of(server.model))


def new_model(release: str, setting: str = "") -> Model:
    """Return an empty server of a release with the recorded accounts and clusters."""
    return Model(
        version=version_of(release),
        clusters=_listed_clusters(release),
        users={name: ACCOUNTS[name].roles for name in ("svc", "admapi", "plain", "both")},
        validates_users=setting == "validation on",
        addresses=_ADDRESSES.get(setting, ("*",)),
        worker=Worker.MANUAL,
        clock=lambda: NOW,
    )


@cache
def _listed_clusters(release: str) -> list[dict[str, Any]]:
    """Return the clusters as the recorded server lists them, or else its cluster.json files."""
    reported = scenarios(release)["clusters"].exchanges[0].answer
    if reported.status == 200:
        found: list[dict[str, Any]] = json.loads(reported.body)["clusters"]
        return found
    return list(clusters(release).values())


def _steps(scenario: Scenario) -> Iterator[Step]:
    everything: list[Recorded | Snapshot] = [*scenario.exchanges, *scenario.snapshots]
    before = 0.0
    for each in sorted(everything, key=lambda each: each.at):
        yield Step(each, each.at - before)
        before = each.at


class _Replay:
    """A stub server and the only connection to it."""

    def __init__(self, release: str, scenario: str, server: StubServer) -> None:
        self._release = release
        self._server = server
        self._restarts = _RESTARTS.get(scenario, ())
        self._setting = ""
        self._blocked_until = 0.0
        self._connection = http.client.HTTPConnection(urlsplit(server.url).netloc)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def play(self, step: Step) -> RecordedAnswer:
        """Replay one step; return the answer, which is empty for a snapshot."""
        self._set_up(step.what.note)
        model = self._server.model
        if step.pause > COMMIT_PAUSE_SECONDS or step.what.note in _COMMITTED_BEFORE:
            model.commit()
        if isinstance(step.what, Snapshot) or not _is_still_queued(step.what):
            self.work(step.what.at)
        if isinstance(step.what, Snapshot):
            return RecordedAnswer(0, {}, "")
        if step.what.request.method == "NATS-PUB":
            model.publish((step.what.request.body or b"").decode())
            return RecordedAnswer(0, {}, "")
        return self._exchange(step.what)

    def work(self, at: float) -> None:
        """Process the queue of 1.4.0 and 1.4.1, unless a rejected start blocks it."""
        while self._server.model.queue and at >= self._blocked_until:
            if not self._server.model.work():
                self._blocked_until = at + _ATTEMPTS_SECONDS

    def _set_up(self, note: str) -> None:
        """Replace the server by an empty one if the note names other settings."""
        setting = next((each for each in self._restarts if note.startswith(each)), self._setting)
        if setting == self._setting:
            return
        self._setting = setting
        self._server.model = new_model(self._release, setting)
        self._server.model.nats = setting.endswith("broker:")

    def _exchange(self, each: Recorded) -> RecordedAnswer:
        headers = {
            name: value.replace("TOKEN:other", f"TOKEN:{_other_token(each.note)}")
            for name, value in each.request.headers.items()
            if value or name != "Content-Type"
        }
        if each.request.body is not None and "Content-Type" not in each.request.headers:
            headers["Content-Type"] = "application/json"
        connection = self._connection
        connection.putrequest(each.request.method, each.request.path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        body = each.request.body
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return RecordedAnswer(response.status, dict(response.headers), content.decode())


def _other_token(note: str) -> str:
    found = (token for begin, token in _OTHER_TOKENS.items() if note.startswith(begin))
    return next(found, "foreign")


def _is_still_queued(each: Recorded) -> bool:
    if (each.scenario, each.note) not in _STILL_QUEUED:
        return False
    return each.version == "1.4.0" or each.note != _QUEUED_ON_1_4_0_ALONE


def tables_of(model: Model) -> Rows:
    """Return the tables with the recorded columns; older servers have other column names."""
    user, partition = ("hpc_user", "cluster_partition")
    if not model.release.since(1, 4, 0):
        user, partition = ("user", "partition")
    columns = _COLUMNS | {user: "user", partition: "partition"}

    def rows(table: Mapping[Key, Row]) -> list[dict[str, Any]]:
        shown = [
            {
                column: row.get(name, 0 if name in _NUMBERS else "")
                for column, name in columns.items()
            }
            | {"duration": 0 if row["jobState"] == "running" else duration(model, key, row)}
            | sharing(model.release, row)
            for key, row in table.items()
        ]
        return sorted(shown, key=lambda row: int(row["id"]))

    found = {"job": rows(model.job)}
    if model.is_new:
        found["job_cache"] = rows(model.cache)
    if model.node_states:
        found |= {"node": list(model.nodes.values()), "node_state": model.node_states}
    return found
