"""What the drain believes of cc-backend as a whole."""

from __future__ import annotations

import logging

import pytest

from ccbackend.classify import Reason, ReplyVerdict
from ccbackend.version import ServerInfo, Version, server_info
from spool.deliver.destination import Health
from spool.deliver.link import Link

OLD = server_info(Version(1, 4, 4))
NEW = server_info(Version(1, 5, 4))


@pytest.fixture
def link() -> Link:
    """Return a link to a server that was found at second 0."""
    link = Link(lambda: 0.0)
    link.found(NEW, 0.0)
    return link


def test_a_new_link_asks_for_the_version_first() -> None:
    """Before that nothing flows."""
    link = Link(lambda: 0.0)

    assert (True, False) == (link.wants_version(0.0), link.is_up)


def test_the_version_is_asked_again_after_an_hour(link: Link) -> None:
    """A server is upgraded without telling us."""
    assert (False, True) == (link.wants_version(3599.0), link.wants_version(3600.0))


def test_the_version_is_asked_again_after_an_outage(link: Link) -> None:
    """An outage may be an upgrade."""
    link.note(ReplyVerdict(Reason.UNREACHABLE), 10.0)
    link.note(ReplyVerdict(Reason.CREATED), 20.0)

    assert link.wants_version(20.0)


def test_an_unknown_server_keeps_what_was_known(link: Link) -> None:
    """A probe without an answer changes nothing."""
    link.found(None, 10.0)

    assert NEW == link.server


@pytest.mark.parametrize(("server", "seconds"), [(NEW, 180.0), (OLD, 0.0), (ServerInfo(), 180.0)])
def test_only_an_old_server_needs_no_hold(server: ServerInfo, seconds: float) -> None:
    """The cache race exists from 1.5.0 on, and is assumed of an unknown server."""
    link = Link(lambda: 0.0)
    link.found(server, 0.0)

    assert seconds == link.hold_seconds(180.0)


def test_a_failure_ends_the_wave(link: Link) -> None:
    """What was handed out with it comes back unsent."""
    link.note(ReplyVerdict(Reason.UNREACHABLE), 10.0)

    assert (1, Health.DOWN) == (link.wave, link.destination.health)


def test_a_run_that_fails_alone_is_no_outage(link: Link) -> None:
    """The destination stays up."""
    link.note(ReplyVerdict(Reason.DATABASE), 10.0, alone=True)

    assert link.is_up


def test_a_wish_of_the_server_is_honoured(link: Link) -> None:
    """Retry-After is a minimum wait."""
    link.note(ReplyVerdict(Reason.BUSY), 10.0, retry_after=100.0)

    assert 110.0 == link.destination.next_probe


def test_a_halt_is_told_once(link: Link, caplog: pytest.LogCaptureFixture) -> None:
    """The same fault is one line."""
    for now in (10.0, 320.0):
        link.note(ReplyVerdict(Reason.TOKEN_REFUSED, "bad token"), now)

    assert [logging.ERROR] == [record.levelno for record in caplog.records]
    assert Health.HALTED is link.destination.health


def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one tells duration and tries."""
    caplog.set_level(logging.INFO, "spool.deliver.link")
    for now in (10.0, 12.0, 15.0):
        link.note(ReplyVerdict(Reason.UNREACHABLE), now)
    link.note(ReplyVerdict(Reason.CREATED), 70.0)

    assert 2 == len(caplog.messages)
    assert "60 s and 3 tries" in caplog.messages[1]


def test_an_answer_that_proves_nothing_ends_no_outage(link: Link) -> None:
    """A panic is no sign of health."""
    link.note(ReplyVerdict(Reason.UNREACHABLE), 10.0)
    link.note(ReplyVerdict(Reason.PANIC), 20.0)

    assert (Health.DOWN, 2) == (link.destination.health, link.destination.failures)


def test_an_answer_to_an_older_request_ends_no_halt(link: Link) -> None:
    """It was under way already when the token was refused."""
    before = link.wave
    link.note(ReplyVerdict(Reason.TOKEN_REFUSED), 10.0, wave=before)
    link.note(ReplyVerdict(Reason.STOPPED), 10.1, wave=before)
    health = link.destination.health
    link.note(ReplyVerdict(Reason.STOPPED), 10.2, wave=link.wave)

    assert (Health.HALTED, Health.UP) == (health, link.destination.health)


def test_an_answer_that_proves_nothing_starts_no_outage(link: Link) -> None:
    """One run may be the cause."""
    link.note(ReplyVerdict(Reason.PANIC), 10.0)

    assert link.is_up


def test_a_changed_cause_allows_a_probe_at_once(link: Link) -> None:
    """A new token is tried without waiting five minutes."""
    link.note(ReplyVerdict(Reason.TOKEN_REFUSED), 10.0)
    link.cause_changed(11.0)

    assert link.destination.probe_is_due(11.0)


def test_another_server_is_noticed_by_any_answer(link: Link) -> None:
    """Its rules hold at once; the version is known already."""
    link.noticed(OLD)

    assert (OLD, 0.0, False) == (link.server, link.hold_seconds(180.0), link.wants_version(1.0))


def test_a_refused_dialect_has_the_version_asked_for(link: Link) -> None:
    """What was known was wrong."""
    link.noticed(NEW.with_other_dialect())

    assert (None, True) == (link.server and link.server.version, link.wants_version(1.0))


@pytest.mark.parametrize("server", [None, NEW])
def test_an_answer_that_shows_no_other_server_changes_nothing(
    link: Link, server: ServerInfo | None, caplog: pytest.LogCaptureFixture
) -> None:
    """And is not worth a line."""
    caplog.set_level(logging.INFO, "spool.deliver.link")
    link.noticed(server)

    assert (NEW, [], False) == (link.server, caplog.messages, link.wants_version(1.0))


def test_nothing_is_noticed_before_the_first_probe() -> None:
    """Until then nothing is sent that could show it."""
    link = Link(lambda: 0.0)
    link.noticed(OLD)

    assert link.server is None
