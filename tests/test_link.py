"""What the drain believes of cc-backend as a whole."""

from __future__ import annotations

import logging

import pytest
from spool.deliver.destination import Health

from ccbackend.classify import Reason, ReplyVerdict
from ccbackend.version import ServerInfo, Version, server_info
from spool.deliver.backend_health import BackendHealth

OLD = server_info(Version(1, 4, 4))
NEW = server_info(Version(1, 5, 4))


@pytest.fixture
def backend_health() -> BackendHealth:
    """Return the health of a server that was found at second 0."""
    backend_health = BackendHealth(lambda: 0.0)
    backend_health.probed(NEW, 0.0)
    return backend_health


def test_a_new_link_asks_for_the_version_first() -> None:
    """Before that nothing flows."""
    backend_health = BackendHealth(lambda: 0.0)

    assert (True, False) == (backend_health.needs_version(0.0), backend_health.is_up)


def test_the_version_is_asked_again_after_an_hour(backend_health: BackendHealth) -> None:
    """A server is upgraded without telling us."""
    assert (False, True) == (
        backend_health.needs_version(3599.0),
        backend_health.needs_version(3600.0),
    )


def test_the_version_is_asked_again_after_an_outage(backend_health: BackendHealth) -> None:
    """An outage may be an upgrade."""
    backend_health.record(ReplyVerdict(Reason.UNREACHABLE), 10.0)
    backend_health.record(ReplyVerdict(Reason.CREATED), 20.0)

    assert backend_health.needs_version(20.0)


def test_an_unknown_server_keeps_what_was_known(backend_health: BackendHealth) -> None:
    """A probe without an answer changes nothing."""
    backend_health.probed(None, 10.0)

    assert NEW == backend_health.server


@pytest.mark.parametrize(("server", "seconds"), [(NEW, 180.0), (OLD, 0.0), (ServerInfo(), 180.0)])
def test_only_an_old_server_needs_no_hold(server: ServerInfo, seconds: float) -> None:
    """The cache race exists from 1.5.0 on, and is assumed of an unknown server."""
    backend_health = BackendHealth(lambda: 0.0)
    backend_health.probed(server, 0.0)

    assert seconds == backend_health.hold_seconds(180.0)


def test_a_failure_ends_the_wave(backend_health: BackendHealth) -> None:
    """What was handed out with it comes back unsent."""
    backend_health.record(ReplyVerdict(Reason.UNREACHABLE), 10.0)

    assert (1, Health.DOWN) == (backend_health.generation, backend_health.destination.health)


def test_a_run_that_fails_alone_is_no_outage(backend_health: BackendHealth) -> None:
    """The destination stays up."""
    backend_health.record(ReplyVerdict(Reason.DATABASE), 10.0, only_this_run=True)

    assert backend_health.is_up


def test_a_wish_of_the_server_is_honoured(backend_health: BackendHealth) -> None:
    """Retry-After is a minimum wait."""
    backend_health.record(ReplyVerdict(Reason.BUSY), 10.0, retry_after=100.0)

    assert 110.0 == backend_health.destination.next_probe


def test_a_halt_is_told_once(
    backend_health: BackendHealth, caplog: pytest.LogCaptureFixture
) -> None:
    """The same fault is one line."""
    for now in (10.0, 320.0):
        backend_health.record(ReplyVerdict(Reason.TOKEN_REFUSED, "bad token"), now)

    assert [logging.ERROR] == [record.levelno for record in caplog.records]
    assert Health.HALTED is backend_health.destination.health


def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(
    backend_health: BackendHealth, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one tells duration and tries."""
    caplog.set_level(logging.INFO, "spool.deliver.backend_health")
    for now in (10.0, 12.0, 15.0):
        backend_health.record(ReplyVerdict(Reason.UNREACHABLE), now)
    backend_health.record(ReplyVerdict(Reason.CREATED), 70.0)

    assert 2 == len(caplog.messages)
    assert "60 s and 3 tries" in caplog.messages[1]


def test_an_answer_that_proves_nothing_ends_no_outage(backend_health: BackendHealth) -> None:
    """A panic is no sign of health."""
    backend_health.record(ReplyVerdict(Reason.UNREACHABLE), 10.0)
    backend_health.record(ReplyVerdict(Reason.PANIC), 20.0)

    assert (Health.DOWN, 2) == (
        backend_health.destination.health,
        backend_health.destination.failures,
    )


def test_an_answer_to_an_older_request_ends_no_halt(backend_health: BackendHealth) -> None:
    """It was under way already when the token was refused."""
    before = backend_health.generation
    backend_health.record(ReplyVerdict(Reason.TOKEN_REFUSED), 10.0, generation=before)
    backend_health.record(ReplyVerdict(Reason.STOPPED), 10.1, generation=before)
    health = backend_health.destination.health
    backend_health.record(ReplyVerdict(Reason.STOPPED), 10.2, generation=backend_health.generation)

    assert (Health.HALTED, Health.UP) == (health, backend_health.destination.health)


def test_an_answer_that_proves_nothing_starts_no_outage(backend_health: BackendHealth) -> None:
    """One run may be the cause."""
    backend_health.record(ReplyVerdict(Reason.PANIC), 10.0)

    assert backend_health.is_up


def test_a_changed_cause_allows_a_probe_at_once(backend_health: BackendHealth) -> None:
    """A new token is tried without waiting five minutes."""
    backend_health.record(ReplyVerdict(Reason.TOKEN_REFUSED), 10.0)
    backend_health.cause_changed(11.0)

    assert backend_health.destination.probe_is_due(11.0)


def test_another_server_is_noticed_by_any_answer(backend_health: BackendHealth) -> None:
    """Its rules hold at once; the version is known already."""
    backend_health.version_seen(OLD)

    assert (OLD, 0.0, False) == (
        backend_health.server,
        backend_health.hold_seconds(180.0),
        backend_health.needs_version(1.0),
    )


def test_a_refused_dialect_has_the_version_asked_for(backend_health: BackendHealth) -> None:
    """What was known was wrong."""
    backend_health.version_seen(NEW.with_other_dialect())

    assert (None, True) == (
        backend_health.server and backend_health.server.version,
        backend_health.needs_version(1.0),
    )


@pytest.mark.parametrize("server", [None, NEW])
def test_an_answer_that_shows_no_other_server_changes_nothing(
    backend_health: BackendHealth, server: ServerInfo | None, caplog: pytest.LogCaptureFixture
) -> None:
    """And is not worth a line."""
    caplog.set_level(logging.INFO, "spool.deliver.backend_health")
    backend_health.version_seen(server)

    assert (NEW, [], False) == (
        backend_health.server,
        caplog.messages,
        backend_health.needs_version(1.0),
    )


def test_nothing_is_noticed_before_the_first_probe() -> None:
    """Until then nothing is sent that could show it."""
    backend_health = BackendHealth(lambda: 0.0)
    backend_health.version_seen(OLD)

    assert backend_health.server is None
