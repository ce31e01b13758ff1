"""The connection to a real NATS broker: every way in which it fails has its own reason."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from free_port import free_port
from nats_accounts import creds_and_settings, user_seed
from nats_site import SUBJECT, LineRecorder, NatsServer, Subscriber, needs_broker
from stub_server import Model, StubServer

from ccbackend.nats_api.credentials import parse_credentials, public_key, sign
from ccbackend.nats_api.event_lines import PROBE
from ccbackend.nats_api.publish import Broker, BrokerSettings
from ccbackend.outcomes import Reason

MAX_PAYLOAD = 1024 * 1024
USERS = """
authorization { users = [
    {user: may, password: "one two", permissions: {publish: ["cc.>"], subscribe: ["_INBOX.>"]}}
    {user: mute, password: x, permissions: {publish: ["other"], subscribe: ["_INBOX.>"]}}
    {user: deaf, password: x, permissions: {publish: ["cc.>"], subscribe: ["other"]}}
] }
"""


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend in NATS mode."""
    with StubServer(Model(version="1.5.4", nats=True)) as stub:
        yield stub


@pytest.fixture
def made() -> Iterator[list[Broker]]:
    """Return a list whose connections are closed at the end."""
    brokers: list[Broker] = []
    yield brokers
    for broker in brokers:
        broker.close()


def connect(made: list[Broker], *servers: str, **settings: Any) -> Broker:
    """Return a connection that the test need not close."""
    made.append(Broker(BrokerSettings(servers=servers, subject=SUBJECT, **settings)))
    return made[-1]


def secret(directory: Path, text: str, mode: int = 0o640) -> Path:
    """Write a file with a secret."""
    path = directory / "secret"
    path.write_text(text)
    path.chmod(mode)
    return path


@needs_broker
def test_a_message_arrives_if_a_program_subscribes(
    tmp_path: Path, server: StubServer, made: list[Broker]
) -> None:
    """The broker answers at once whether there is a subscriber."""
    with NatsServer(tmp_path) as nats:
        broker = connect(made, nats.url)
        reasons = [broker.publish(PROBE).reason]
        with Subscriber(nats.url, server):
            reasons.append(broker.publish(PROBE).reason)
        reasons.append(broker.publish(PROBE).reason)

    assert [Reason.NO_SUBSCRIBER, Reason.PUBLISHED, Reason.NO_SUBSCRIBER] == reasons


def test_a_message_is_confirmed_by_a_ping_that_follows_it(made: list[Broker]) -> None:
    """The answer to an earlier PING does not confirm the message."""
    with closing(LineRecorder()) as broker:
        verdict = connect(made, broker.url).publish(PROBE)
        lines = [line.split()[0] for line in broker.lines]

    assert (Reason.PUBLISHED, True) == (verdict.reason, "PUB" in lines)
    assert lines.index("SUB") < lines.index("PING", lines.index("SUB")) < lines.index("PUB")
    assert "PING" == lines[-1]


@needs_broker
def test_a_message_of_max_payload_is_published(
    tmp_path: Path, server: StubServer, made: list[Broker]
) -> None:
    """A message with one byte more than the broker's max_payload is refused and not sent."""
    with NatsServer(tmp_path) as nats, Subscriber(nats.url, server):
        broker = connect(made, nats.url)
        verdicts = [broker.publish(b" " * (MAX_PAYLOAD + more)) for more in (0, 1)]

    assert [Reason.PUBLISHED, Reason.PAYLOAD_TOO_LARGE] == [each.reason for each in verdicts]
    assert (
        "the message has 1048577 bytes, but the NATS broker's max_payload is 1048576"
        == verdicts[1].message
    )


def test_without_any_broker_the_reason_is_broker_away(made: list[Broker]) -> None:
    """Every server of the list is tried."""
    first, second = free_port(), free_port()
    verdict = connect(made, *(f"nats://127.0.0.1:{each}" for each in (first, second))).publish(
        PROBE
    )

    assert (Reason.BROKER_AWAY, True) == (verdict.reason, str(second) in verdict.message)


@needs_broker
def test_another_broker_of_the_list_takes_over(
    tmp_path: Path, server: StubServer, made: list[Broker]
) -> None:
    """After the first broker was killed, messages are published through the second one."""
    with (
        NatsServer(tmp_path) as first,
        NatsServer(tmp_path) as second,
        Subscriber(second.url, server),
    ):
        broker = connect(made, first.url, second.url)
        reasons = [broker.publish(PROBE).reason]
        first.kill()
        reasons += [broker.publish(PROBE).reason for _ in range(2)]

    assert (Reason.NO_SUBSCRIBER, Reason.PUBLISHED) == (reasons[0], reasons[-1])


@needs_broker
def test_the_outcome_is_unknown_if_a_broker_dies_or_hangs(
    tmp_path: Path, made: list[Broker]
) -> None:
    """It is unknown whether the message arrived; the next message opens a new connection."""
    with NatsServer(tmp_path) as nats:
        broker = connect(made, nats.url, answer_seconds=0.2)
        broker.publish(PROBE)
        nats.hang()
        hanging = broker.publish(PROBE).reason
        nats.go_on()
        again = broker.publish(PROBE).reason
        nats.hang()
        killer = threading.Timer(0.05, nats.kill)
        killer.start()
        dying = broker.publish(PROBE).reason
        killer.join()

    assert [Reason.BROKER_LOST, Reason.NO_SUBSCRIBER, Reason.BROKER_LOST] == [hanging, again, dying]


@needs_broker
@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("may", "one two\n", Reason.NO_SUBSCRIBER),
        ("may", "wrong", Reason.BROKER_REFUSED),
        ("mute", "x", Reason.PUBLISH_REFUSED),
        ("deaf", "x", Reason.PUBLISH_REFUSED),
    ],
)
def test_a_nats_user_needs_a_password_and_permissions(
    tmp_path: Path, made: list[Broker], user: str, password: str, reason: Reason
) -> None:
    """A wrong password is BROKER_REFUSED, a missing permission PUBLISH_REFUSED."""
    with NatsServer(tmp_path, USERS) as nats:
        path = secret(tmp_path, password)
        verdict = connect(made, nats.url, user=user, password_file=path).publish(PROBE)

    assert (reason, False) == (verdict.reason, password.strip() in verdict.message.split())


def test_a_password_file_that_others_can_read_is_not_used(
    tmp_path: Path, made: list[Broker]
) -> None:
    """The rule is that of the token file; the message does not contain the password."""
    path = secret(tmp_path, "hidden", 0o644)
    verdict = connect(made, "nats://127.0.0.1:9", user="u", password_file=path).publish(PROBE)

    assert (Reason.NATS_FILE, True) == (verdict.reason, "other users can read" in verdict.message)
    assert "hidden" not in verdict.message


@needs_broker
def test_a_creds_file_logs_in(tmp_path: Path, made: list[Broker]) -> None:
    """The broker accepts the signature of a known NATS user and refuses that of an unknown one."""
    creds, settings = creds_and_settings(SUBJECT)
    with NatsServer(tmp_path, settings) as nats:
        path = secret(tmp_path, creds)
        known = connect(made, nats.url, creds_file=path).publish(PROBE).reason
        path.write_text(creds.replace(creds.splitlines()[5], user_seed(b"\x09" * 32)))
        unknown = connect(made, nats.url, creds_file=path).publish(PROBE).reason

    assert (Reason.NO_SUBSCRIBER, Reason.BROKER_REFUSED) == (known, unknown)


def test_ed25519_signatures_are_those_of_rfc_8032() -> None:
    """Public key and signature are those of test 2 in section 7.1 of the RFC."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )

    assert (public, signature) == (public_key(seed).hex(), sign(seed, b"\x72").hex())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("NATS USER JWT", "OTHER", "not a NATS creds file: a"),
        ("USER NKEY SEED", "OTHER", "not a NATS creds file: a"),
        (user_seed(b"\x03" * 32), user_seed(b"\x03" * 31), "damaged"),
        (user_seed(b"\x03" * 32), "1" + user_seed(b"\x03" * 32)[1:], "damaged"),
        (user_seed(b"\x03" * 32), "A" + user_seed(b"\x03" * 32)[1:], "damaged"),
    ],
)
def test_a_damaged_creds_file_is_reported(old: str, new: str, words: str) -> None:
    """The message contains nothing of the NATS creds file, which is a secret."""
    creds, _ = creds_and_settings(SUBJECT)
    with pytest.raises(ValueError, match=words) as caught:
        parse_credentials(creds.replace(old, new))

    assert new not in str(caught.value).split()


@needs_broker
def test_a_broker_must_match_its_certificate(tmp_path: Path, made: list[Broker]) -> None:
    """The configured CA verifies the broker; the broker verifies the client's certificate, too."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    where = [
        "-subj",
        "/CN=broker",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]
    subprocess.run([*command.split(), *where], check=True, cwd=tmp_path, capture_output=True)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    tls = f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{cert}", verify: true }}'
    files = {"ca_file": cert, "cert_file": cert, "key_file": key}
    with NatsServer(tmp_path, tls, scheme="tls") as nats:
        trusted = connect(made, nats.url, **files).publish(PROBE).reason
        unknown = connect(made, nats.url).publish(PROBE).reason
        renamed = connect(made, nats.url.replace("127.0.0.1", "localhost"), **files)
        reasons = [trusted, unknown, renamed.publish(PROBE).reason]
    with NatsServer(tmp_path, tls.replace(", verify: true", ""), scheme="tls") as nats:
        reasons.append(connect(made, nats.url, ca_file=cert).publish(PROBE).reason)

    good, bad = Reason.NO_SUBSCRIBER, Reason.BROKER_TLS
    assert [good, bad, bad, good] == reasons


def test_a_missing_ca_file_is_reported(tmp_path: Path, made: list[Broker]) -> None:
    """The error NATS_FILE concerns the configured file, not the broker."""
    broker = connect(made, "tls://127.0.0.1:9", ca_file=tmp_path / "none.pem")

    assert Reason.NATS_FILE is broker.publish(PROBE).reason


def test_the_last_used_broker_is_tried_first(made: list[Broker]) -> None:
    """The first broker is up again, but the next message does not go to it."""
    port = free_port()
    with closing(LineRecorder(is_mute=True)) as second:
        broker = connect(made, f"nats://127.0.0.1:{port}", second.url, answer_seconds=0.01)
        broker.publish(PROBE)
        with socket.create_server(("127.0.0.1", port)) as first:
            broker.publish(PROBE)
            first.settimeout(0)

            with pytest.raises(BlockingIOError):
                first.accept()
