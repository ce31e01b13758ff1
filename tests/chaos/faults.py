"""Fault classes of cc-backend and of a firewall in front of it; see also `faults_here`."""

from __future__ import annotations

import time
from collections.abc import Callable

from chaos.fault_class import Begin, FaultClass, Lift
from chaos.harness import World
from chaos.injection import Kind, ServerFault, wait_for
from chaos.site_facts import token

SERVER_TEXT = "database or upstream failed"
HTML = "text/html; charset=utf-8"
PAGE = "<!DOCTYPE html><title>Welcome</title>"
STOPS_SECONDS = 10.0


def lasting(world: World, fault: ServerFault) -> Lift:
    """Inject a fault of the server; return the function that lifts it."""
    injected = world.backend.faults.inject(fault)
    return lambda: world.backend.faults.lift(injected)


def poisoned_start(kind: Kind, *, status: int = 500, text: str = "", html: bool = False) -> Begin:
    """Return a `Begin`: only the starts of two runs meet a fault."""

    def begin(world: World) -> Lift:
        ids = frozenset((world.shapes.new_id(), world.shapes.new_id()))
        content_type = HTML if html else "text/plain; charset=utf-8"
        lift = lasting(
            world,
            ServerFault(
                kind=kind,
                endpoints=("start",),
                job_ids=ids,
                status=status,
                text=text,
                content_type=content_type,
            ),
        )
        for job_id in sorted(ids):
            world.begin(job_id=job_id)
        return lift

    return begin


def poisoned_stop(world: World) -> Lift:
    """Answer only the stop of one run with an error, while other runs end too."""
    runs = world.several(6)
    world.wait_delivered(runs, 10)
    fault = ServerFault(
        kind=Kind.STATUS,
        endpoints=("stop",),
        job_ids=frozenset((runs[0].job_id,)),
        status=500,
        text="upstream failed",
    )
    lift = lasting(world, fault)
    for run in runs:
        world.end(run)
    took = wait_for(lambda: len(world.closed(runs[1:])) == len(runs) - 1, STOPS_SECONDS)
    world.measure("5 of 5 other stops", took, STOPS_SECONDS)
    return lift


def outage(status: int, text: str = "", *, hours: float = 6.0) -> Begin:
    """Return a `Begin`: every request gets one status, and the clocks move ahead by hours."""

    def begin(world: World) -> Lift:
        fault = ServerFault(kind=Kind.STATUS, status=status, text=text, content_type="text/html")
        lift = lasting(world, fault)
        world.several(8)
        world.let_pass(hours * 3600, step=600)
        world.measure(f"runs in dead/ after {hours:g} h", len(world.files("dead")), 0, "")
        return lift

    return begin


def rejected_body(status: int) -> Begin:
    """Return a `Begin`: a firewall in front of cc-backend rejects the body of one run."""

    def begin(world: World) -> Lift:
        marker = "wget http://disliked.example"
        headers = (("Location", "https://portal.example/"),) if status // 100 == 3 else ()
        fault = ServerFault(
            kind=Kind.STATUS,
            containing=marker.encode(),
            status=status,
            text=PAGE,
            content_type=HTML,
            headers=headers,
        )
        lift = lasting(world, fault)
        run = world.begin(script=f"#!/bin/sh\n{marker}\n")
        world.refused.add(run.job_id)
        return lift

    return begin


def unanswered_start(world: World) -> Lift:
    """Let the server store one start and never answer it."""
    job_id = world.shapes.new_id()
    fault = ServerFault(kind=Kind.DROP, endpoints=("start",), job_ids=frozenset((job_id,)))
    injected = world.backend.faults.inject(fault, count=1)
    world.begin(job_id=job_id)
    return lambda: world.backend.faults.lift(injected)


POISON = (
    FaultClass(
        name="P0 500 with text",
        begin=poisoned_start(Kind.STATUS, status=500, text=SERVER_TEXT),
        others_within=10,
        passing=900,
        is_calm=True,
    ),
    FaultClass(
        name="P0 503",
        begin=poisoned_start(Kind.STATUS, status=503, text="busy"),
        others_within=10,
        passing=900,
        is_calm=True,
    ),
    FaultClass(
        name="P0 reset",
        begin=poisoned_start(Kind.RESET),
        others_within=10,
        passing=900,
        is_calm=True,
    ),
    FaultClass(
        name="P0 page instead of an answer",
        begin=poisoned_start(Kind.STATUS, status=200, text=PAGE, html=True),
        others_within=10,
        passing=900,
        is_calm=True,
    ),
    FaultClass(
        name="P0 poisoned stop", begin=poisoned_stop, others_within=10, passing=900, is_calm=True
    ),
)
OUTAGES = tuple(
    FaultClass(
        name=f"P1 {status}",
        begin=outage(status, text),
        repaired_within=70,
        passing=70,
        settled_within=3,
    )
    for status, text in (
        (500, ""),
        (521, "Web server is down"),
        (501, "Not implemented"),
        (507, "Insufficient storage"),
        (402, "Payment required"),
        (410, "Gone"),
        (421, "Misdirected"),
        (422, "unknown words"),
    )
)
FIREWALLS = tuple(
    FaultClass(
        name=f"P5 {status}",
        begin=rejected_body(status),
        others_within=5,
        is_calm=True,
        halts_nothing=True,
    )
    for status in (401, 403, 302, 404, 405)
)


def failing_topology(world: World) -> Lift:
    """Start the drain while `GET /api/clusters/` fails: no row can be corrected afterwards."""
    world.kill_drain()
    lift = lasting(
        world,
        ServerFault(kind=Kind.STATUS, endpoints=("clusters",), status=500, text=SERVER_TEXT),
    )
    world.start_drain()
    return lift


def unknown_host(world: World) -> Lift:
    """Let jobs start on hosts that cc-backend learns of by a new cluster.json and a restart."""
    world.begin(nodes=("n01",))
    world.begin(nodes=("n02",))
    world.begin(nodes=("n01", "n02"))

    def lift() -> None:
        world.backend.restart(with_new_nodes=True)
        world.begin(nodes=("n01",))
        world.begin(nodes=("n02",))

    return lift


def wrong_host_map(world: World) -> Lift:
    """Let a wrong `host_map` hide one host, until it is corrected and the drain reloads."""
    world.configure(host_map={"^c016$": "x16"})
    world.reload()
    world.begin(nodes=("c016",))

    def lift() -> None:
        world.configure(host_map={})
        world.reload()
        world.begin(nodes=("c016",))

    return lift


def retried_host(world: World) -> Lift:
    """Run `cc-spool retry ALL` after cc-backend has learned of a host."""
    end = unknown_host(world)
    time.sleep(2)

    def lift() -> None:
        end()
        world.command("cc-spool", "retry", "ALL")

    return lift


def changed_token(wrong: Callable[[World], None], right: Callable[[World], None]) -> Begin:
    """Return a `Begin`: the token is not usable for two seconds."""

    def begin(world: World) -> Lift:
        wrong(world)
        world.begin()
        time.sleep(2)
        return lambda: right(world)

    return begin


def _remove_token(world: World) -> None:
    (world.root / "token").unlink()


def _make_token_readable(world: World) -> None:
    (world.root / "token").chmod(0o644)


def _make_token_private(world: World) -> None:
    (world.root / "token").chmod(0o600)


def _wrong_token(world: World) -> None:
    world.write_token(token("somebody"))


def _right_token(world: World) -> None:
    world.write_token(world.backend.token)


TOPOLOGY = (FaultClass(name="P2 no topology", begin=failing_topology, lasting=3, passing=300),)
TOKENS = tuple(
    FaultClass(
        name=f"P6 token {name}",
        begin=changed_token(wrong, right),
        repaired_within=10,
        settled_within=10,
    )
    for name, wrong, right in (
        ("removed and put back", _remove_token, _right_token),
        ("readable by all, then not", _make_token_readable, _make_token_private),
        ("wrong, then right", _wrong_token, _right_token),
    )
)
HOSTS = tuple(
    FaultClass(
        name=f"P10 {name}", begin=begin, others_within=5, repaired_within=within, passing=passing
    )
    for name, begin, within, passing in (
        ("new host", unknown_host, 60, 60),
        ("host_map corrected", wrong_host_map, 60, 60),
        ("retry", retried_host, 10, 0),
    )
)
SILENCES = (
    FaultClass(name="P19 a start is never answered", begin=unanswered_start, others_within=6),
)
CLASSES = (*POISON, *OUTAGES, *TOPOLOGY, *FIREWALLS, *TOKENS, *HOSTS, *SILENCES)
