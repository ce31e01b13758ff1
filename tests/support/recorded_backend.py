"""The recorded answers of real cc-backend servers: every exchange as a frozen value.

There is one archive per release in `data/`, described in `data/cc-backend-recordings.md`. An
archive is unpacked into memory once per process, and its contents are never changed.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
_RUN = re.compile(r"\{\{x\*(\d+)\}\}")


@dataclass(frozen=True)
class RecordedRequest:
    """The request that was sent; `body` None: no body. Header values hold `TOKEN:<account>`."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True)
class RecordedAnswer:
    """The answer. If none came, `error` is the client's error and `status` is 0.

    `filtered` describes which part of `body` was recorded; "": the whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: str
    filtered: str = ""
    error: str = ""


@dataclass(frozen=True)
class Recorded:
    """One exchange; `at` is in seconds since the scenario began, `place` is its number from 0."""

    version: str
    scenario: str
    place: int
    note: str
    at: float
    request: RecordedRequest
    answer: RecordedAnswer

    def __str__(self) -> str:
        return f"{self.version} {self.scenario}[{self.place}] {self.note!r}"


@dataclass(frozen=True)
class Snapshot:
    """The database tables at one moment: `{"job": [{column: value}], "job_cache": ...}`."""

    note: str
    at: float
    rows: Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Scenario:
    """A series of requests to one server with an empty database, or after the steps of `setup`."""

    version: str
    name: str
    setup: str
    plain_release: bool
    exchanges: tuple[Recorded, ...]
    snapshots: tuple[Snapshot, ...]
    rows: Mapping[str, list[dict[str, Any]]]
    extras: Mapping[str, Any]


def releases() -> list[str]:
    """Return the recorded releases, oldest first; "1.5.0+cclib-2.12.0" is a special build."""
    prefix, suffix = "cc-backend-", ".tar.xz"
    names = [path.name for path in DATA.glob(f"{prefix}*{suffix}")]
    return sorted(name.removeprefix(prefix).removesuffix(suffix) for name in names)


def version_of(release: str) -> str:
    """Return the version that the server reports: "1.5.0" for "1.5.0+cclib-2.12.0"."""
    return release.partition("+")[0]


@cache
def files(release: str) -> Mapping[str, bytes]:
    """Return the files of a release's archive by their path in the release's directory."""
    found = {}
    with tarfile.open(DATA / f"cc-backend-{release}.tar.xz") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                found[member.name.partition("/")[2]] = content.read()
    return found


@cache
def scenarios(release: str) -> Mapping[str, Scenario]:
    """Return all scenarios of a release by name."""
    names = [path.removesuffix(".json") for path in files(release) if "/" not in path]
    return {name: _scenario(release, name) for name in sorted(names)}


def exchanges(release: str) -> Iterator[Recorded]:
    """Yield every exchange of a release, scenario by scenario."""
    for scenario in scenarios(release).values():
        yield from scenario.exchanges


@cache
def clusters(release: str) -> Mapping[str, Any]:
    """Return the cluster.json of each cluster of the recorded server by name."""
    found = {}
    for path, content in files(release).items():
        if path.startswith("server/") and path.endswith("/cluster.json"):
            cluster = json.loads(content)
            found[cluster["name"]] = cluster
    return found


def _scenario(release: str, name: str) -> Scenario:
    raw = json.loads(files(release)[f"{name}.json"])
    known = {"scenario", "version", "setup", "build_note", "exchanges", "snapshots", "rows"}
    return Scenario(
        version=raw["version"],
        name=raw["scenario"],
        setup=raw.get("setup", ""),
        plain_release="build_note" not in raw,
        exchanges=tuple(
            _exchange(raw["version"], name, place, each)
            for place, each in enumerate(raw["exchanges"])
        ),
        snapshots=tuple(
            Snapshot(each["note"], each["at"], each["rows"]) for each in raw.get("snapshots", ())
        ),
        rows=raw["rows"] or {},
        extras={key: value for key, value in raw.items() if key not in known},
    )


def _exchange(version: str, scenario: str, place: int, raw: dict[str, Any]) -> Recorded:
    asked, answered = raw["request"], raw["response"]
    request = RecordedRequest(asked["method"], asked["path"], asked["headers"], _body(asked))
    answer = RecordedAnswer(
        status=answered.get("status", 0),
        headers=answered.get("headers", {}),
        body=answered.get("body", ""),
        filtered=answered.get("body_filtered", ""),
        error=answered.get("error", ""),
    )
    return Recorded(version, scenario, place, raw["note"], raw["at"], request, answer)


def _body(asked: dict[str, Any]) -> bytes | None:
    """Return the bytes that were sent, with abbreviated runs of x expanded."""
    text = asked.get("body")
    if text is None:
        return None
    whole = _RUN.sub(lambda found: "x" * int(found[1]), text)
    return whole.encode(asked.get("body_charset", "utf-8"))
