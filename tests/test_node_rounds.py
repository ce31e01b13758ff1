"""When the drain reports node states: every interval, after the jobs, and never while off."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from drain_world import World

from ccbackend.outcomes import Reason
from spool.files.node_round import NodeRound, read_node_round
from spool.worker import Worker

INTERVAL = 300.0


class HangingWorker(Worker[Any, Any]):
    """A worker that answers only after `release`."""

    asked: Any = None

    def ask(self, question: Any) -> None:
        """Keep the query."""
        self.outstanding += 1
        self.asked = question

    def release(self) -> None:
        """Answer the kept query."""
        self.put_answer(self.asked, self.work(self.asked))


@dataclass
class Reporter:
    """The rounds that were made, by time; `result` is what each returns."""

    world: NodesWorld
    result: NodeRound = field(default_factory=NodeRound)
    times: list[float] = field(default_factory=list)
    lasts: list[NodeRound] = field(default_factory=list)

    def run(self, last: NodeRound) -> NodeRound:
        """Make a round."""
        self.times.append(self.world.now - self.world.began)
        self.lasts.append(last)
        return replace(self.result, tried=self.world.now)


class NodesWorld(World):
    """A world that reports node states."""

    def __init__(self, root: Path) -> None:
        self.reporter = Reporter(self)
        self.nodes = self.reporter.run
        self.nodes_interval = INTERVAL
        super().__init__(root)
        self.began = self.now

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let the drain work for a long time, with few passes."""
        until = self.now + seconds
        while self.now < until:
            self.drain.step(0.0)
            self.now += step


@pytest.fixture
def world(tmp_path: Path) -> NodesWorld:
    """A drain that has just started."""
    return NodesWorld(tmp_path)


def good(**fields: Any) -> NodeRound:
    """Return the result of a round that was accepted."""
    return replace(NodeRound(accepted=1.0, states={"idle": 2}), **fields)


def test_node_states_are_reported_soon_and_then_every_interval(world: NodesWorld) -> None:
    """The first report waits 10 to 20 s, at random: two controllers must not send together."""
    world.reporter.result = good()
    world.pass_time(700)

    assert [15.0, 315.0, 615.0] == world.reporter.times


def test_a_drain_without_node_states_makes_no_rounds(tmp_path: Path) -> None:
    """The drain has no worker for node states and writes no state file of them."""
    world = World(tmp_path)
    world.run(2)

    assert "nodes" not in {worker.name for worker in world.service.workers}
    assert None is read_node_round(world.state)


def test_each_round_gets_the_result_of_the_previous_round(world: NodesWorld) -> None:
    """The result of a report is stored in the state directory, also for `status`."""
    world.reporter.result = good(hosts={"lab": ("n1",)}, left_out={"unknown": 1}, seconds=0.5)
    world.pass_time(320)

    assert [NodeRound(), replace(world.reporter.result, tried=world.began + 15)] == (
        world.reporter.lasts
    )
    assert replace(world.reporter.result, tried=world.began + 315) == read_node_round(world.state)


def test_the_interval_of_node_states_continues_after_a_restart(world: NodesWorld) -> None:
    """A drain restarted 85 s after a report sends the next one 300 s after that report."""
    world.reporter.result = good()
    world.pass_time(100)
    world.boot()
    world.pass_time(300)

    assert [15.0, 315.0] == world.reporter.times


def test_node_states_wait_while_a_job_is_due(world: NodesWorld) -> None:
    """The wait is one interval at most: a job request that hangs must not block node states."""
    world.delivery.workers.starts.workers[0].outstanding += 1
    world.pass_time(600)

    assert [315.0] == world.reporter.times


def test_node_states_wait_while_cc_backend_is_down(world: NodesWorld) -> None:
    """Like jobs, node states are not sent until cc-backend answers again."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.pass_time(400)
    assert [] == world.reporter.times

    world.backend.everything = None
    world.pass_time(100)
    assert 1 == len(world.reporter.times)


def test_a_hanging_round_delays_no_job_and_no_other_round_begins(tmp_path: Path) -> None:
    """Node states have a worker of their own; no other round begins while a round hangs."""
    world = NodesWorld(tmp_path)
    answers: Any = world.parts.answers
    worker = HangingWorker("nodes", world.reporter.run, answers, clock=lambda: 0.0)
    world.parts.nodes._worker = worker  # noqa: SLF001 - takes the worker's place
    world.pass_time(400)
    world.begin(1)
    world.run(2)

    assert (1, [("probe", 0), ("start", 1)]) == (
        worker.outstanding,
        [each for each in world.backend.asked if each[0] != "list"][-2:],
    )
    worker.release()


def test_a_rejected_report_pauses_node_states_for_an_hour(world: NodesWorld) -> None:
    """A rejection is an error of this program: the next request would be the same."""
    world.reporter.result = NodeRound(problem="refused", is_refused=True)
    world.pass_time(3700, 5.0)

    assert [15.0, 3620.0] == world.reporter.times


def test_the_first_failed_report_and_the_next_success_are_logged(
    world: NodesWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """Two failed reports in sequence give one warning, and the next success one INFO line."""
    results = [good(), good(), NodeRound(problem="silent"), NodeRound(problem="silent"), good()]
    with caplog.at_level(logging.INFO, logger="spool.drain.node_rounds"):
        for world.reporter.result in [*results, NodeRound(problem="too old", unsupported="1.4.4")]:
            world.pass_time(INTERVAL)

    assert [
        ("INFO", "node states are reported (nodes: 2)"),
        ("WARNING", "node states are not reported: silent"),
        ("INFO", "node states are reported (nodes: 2)"),
        ("INFO", "node states are not reported: too old"),
    ] == [(record.levelname, record.message) for record in caplog.records]


def test_a_result_that_cannot_be_written_is_a_warning(
    world: NodesWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """The drain logs that the file with the result of the node report cannot be written."""
    (world.state / ".nodes.json.tmp").mkdir()
    world.pass_time(20)

    assert "the result of the node report cannot be written" in caplog.text


def test_a_round_without_an_answer_stores_no_result(world: NodesWorld) -> None:
    """The drain ends during a round: no state file of node states is written."""
    world.parts.nodes.take(None, world.moment)

    assert None is read_node_round(world.state)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, None),
        ({"tried": "x", "states": [], "hosts": {"lab": 5}}, NodeRound(hosts={"lab": ()})),
        (
            {"tried": 5, "accepted": 4, "failures": True, "states": {"idle": 1}, "is_refused": 1},
            NodeRound(tried=5.0, accepted=4.0, states={"idle": 1}),
        ),
    ],
)
def test_damaged_values_in_nodes_json_are_replaced_by_defaults(
    tmp_path: Path, document: dict[str, Any], expected: NodeRound | None
) -> None:
    """Other values of the file are kept; an empty object counts as no report yet."""
    (tmp_path / "nodes.json").write_text(json.dumps(document))

    assert expected == read_node_round(tmp_path)
