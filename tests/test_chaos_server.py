"""The small server of the chaos harness gives the answers of recorded servers."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from chaos.backend_rules import Rules

DATA = Path(__file__).parent / "data"
HOSTS = {f"n2cn00{number}": "cpu" for number in range(1, 5)} | {"n2gpu01": "gpu"}
SCENARIOS = (
    "start-twice",
    "start-unknown-host",
    "start-unknown-cluster",
    "start-numnodes-mismatch",
    "start-older-instance",
    "start-ok-shared-dialect",
    "start-ok-exclusive-dialect",
    "stop-twice",
    "stop-unknown",
    "stop-before-start",
)
COMMIT_SECONDS = 2.0  # of the recorded servers of 1.5 that show committed rows


def exchanges(version: str, scenario: str) -> list[dict[str, Any]]:
    """Return the recorded exchanges of the cluster `lab` that have a start time."""
    with tarfile.open(DATA / f"cc-backend-{version}.tar.xz") as archive:
        name = next(name for name in archive.getnames() if name.endswith(f"/{scenario}.json"))
        file = archive.extractfile(name)
        assert file is not None
        recorded: list[dict[str, Any]] = json.load(file)["exchanges"]
    bodies = [(each, each["request"]["body"]) for each in recorded]
    return [each for each, body in bodies if '"other"' not in body and '"startTime"' in body]


def compared(status: int, text: str) -> tuple[int, str]:
    """Return the status and the error without database ids, for the comparison."""
    error = json.loads(text).get("error", "")
    short = error.partition(": UNIQUE constraint")[0].partition(": CHECK constraint")[0]
    return status, re.sub(r"\b(dbid: |id )\d+", r"\1N", short)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("version", ["1.4.4", "1.5.4"])
def test_the_chaos_server_answers_like_recorded_servers(version: str, scenario: str) -> None:
    """Status and error of starts and stops agree with recordings of 1.4.4 and 1.5.4."""
    clock = [0.0]
    rules = Rules(version, HOSTS, "lab", commit_seconds=COMMIT_SECONDS, clock=lambda: clock[0])
    expected, actual = [], []
    for exchange in exchanges(version, scenario):
        clock[0] = exchange["at"]
        request, response = exchange["request"], exchange["response"]
        ask = rules.start if "start_job" in request["path"] else rules.stop
        status, document = ask(json.loads(request["body"]))
        expected.append(compared(response["status"], response["body"]))
        actual.append(compared(status, json.dumps(document)))

    assert expected == actual
