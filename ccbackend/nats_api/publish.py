"""The connection to the NATS brokers, shared by all workers: one event loop in its own thread.

A message is published as a request without waiting for an answer, which cc-backend never gives: the
broker answers a PING only after it has routed the message and said whether it has a subscriber. The
client library may not reconnect by itself: it would keep messages in a buffer of its own and report
them as sent.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from ccbackend.errors import TokenError
from ccbackend.nats_api.credentials import parse_credentials
from ccbackend.outcomes import Reason, ReplyVerdict
from ccbackend.token import read_secret

CONNECT_SECONDS = 4
_REFUSED = ("authorization violation", "authentication")
_NO_RESPONDERS = "503"
_NOT_SENT = ReplyVerdict(Reason.BROKER_AWAY, "the connection was closed")
_MAYBE_SENT = ReplyVerdict(Reason.BROKER_LOST, "the connection was closed")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the brokers are, and how to log in; the files are read at each connection.

    `answer_seconds` is how long the broker may take to answer a PING.
    """

    servers: tuple[str, ...]
    subject: str
    user: str | None = None
    password_file: Path | None = None
    creds_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    answer_seconds: float = 5.0


@dataclass(slots=True)
class _Connection:
    """A connection to a broker, its inbox for "no subscriber" answers, and the errors on it."""

    client: Client = field(default_factory=Client)
    inbox: str = ""
    subscription: Subscription | None = None
    errors: list[Exception] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def note_closed(self) -> None:
        """Record that the connection has ended: no answer comes any more."""
        self.closed.set()

    async def note(self, error: Exception) -> None:
        """Record an error that the NATS library reports by its callback."""
        self.errors.append(error)


class Broker:
    """A publisher to the brokers of a cluster, connected to one; safe to share between threads."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()  # one message at a time: then every error belongs to it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: _Connection | None = None
        self._last_server = ""
        self._closing = False
        self._task: asyncio.Task[Any] | None = None

    def publish(self, message: bytes) -> ReplyVerdict:
        """Publish a message; `PUBLISHED` if a subscriber got it. `close` ends the wait."""
        with self._lock:
            if self._closing:
                return _NOT_SENT
            return self._run(self._publish_until_closed(message))

    def close(self) -> None:
        """Close the connection for good and end the thread; a message under way is given up."""
        # Without the lock, which a thread holds while it tries silent brokers.
        self._closing = True
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._cancel)
        with self._lock:
            if self._loop is None or self._thread is None:
                return
            self._run(self._disconnect())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _publish_until_closed(self, message: bytes) -> ReplyVerdict:
        self._task = asyncio.current_task()
        try:
            # `close` may have come before there was a task to cancel.
            return _NOT_SENT if self._closing else await self._publish(message)
        except asyncio.CancelledError:
            return _NOT_SENT if self._connection is None else _MAYBE_SENT
        finally:
            self._task = None

    async def _publish(self, message: bytes) -> ReplyVerdict:
        connection = self._connection
        if connection is None or not connection.client.is_connected:
            found = await self._connect()
            if isinstance(found, ReplyVerdict):
                return found
            connection = found
        # nats-py would raise an error, which would look like a lost connection.
        if len(message) > connection.client.max_payload:
            limit = connection.client.max_payload
            text = (
                f"the message has {len(message)} bytes, but the NATS broker's max_payload is"
                f" {limit}"
            )
            return ReplyVerdict(Reason.PAYLOAD_TOO_LARGE, text)
        # What the broker said since the last message is not about this one.
        connection.errors.clear()
        try:
            # With an inbox the broker says so when there is no subscriber; a plain message vanishes
            # without a word (measured with nats-server 2.9.10).
            await connection.client.publish(self._settings.subject, message, connection.inbox)
            await _flush(connection, self._settings.answer_seconds)
        except Exception as error:  # noqa: BLE001 - a border: whatever fails, it may have been sent
            connection.errors.append(error)
        verdict = await _verdict(connection)
        if verdict.reason is Reason.BROKER_LOST:
            await self._disconnect()
        return verdict

    async def _connect(self) -> _Connection | ReplyVerdict:
        """Connect to the first broker that accepts us, starting with the last used one."""
        await self._disconnect()
        try:
            options = _login(self._settings)
        except (TokenError, OSError, ValueError) as error:
            return ReplyVerdict(Reason.NATS_FILE, str(error))
        verdict = ReplyVerdict(Reason.BROKER_AWAY)
        for server in sorted(self._settings.servers, key=lambda each: each != self._last_server):
            connection = _Connection()
            try:
                # The first connect to a dead broker can hang in nats-py 2.16.0 despite its timeout.
                await asyncio.wait_for(_open(connection, server, options), 2 * CONNECT_SECONDS)
            except asyncio.CancelledError:
                await _close(connection)
                raise
            except Exception as error:  # noqa: BLE001 - a border: the next broker may take us
                verdict = _refusal([*connection.errors, error])
                await _close(connection)
            else:
                self._connection, self._last_server = connection, server
                return connection
        return verdict

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await _close(connection)


def _login(settings: BrokerSettings) -> dict[str, Any]:
    """Return the login options of a connection; read its password, creds and certificate files."""
    options: dict[str, Any] = {}
    if settings.user is not None:
        options["user"] = settings.user
    if settings.password_file is not None:
        password = read_secret(settings.password_file, what="password", key="nats.password_file")
        options["password"] = password.decode().rstrip("\r\n")
    if settings.creds_file is not None:
        text = read_secret(settings.creds_file, what="creds file", key="nats.creds_file")
        credentials = parse_credentials(text.decode())
        options["user_jwt_cb"] = credentials.jwt.encode
        options["signature_cb"] = lambda nonce: credentials.sign(nonce.encode())
    if settings.ca_file is not None or settings.cert_file is not None:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        options["tls"] = context
    return options


async def _open(connection: _Connection, server: str, options: dict[str, Any]) -> None:
    """Connect to one broker, and subscribe to an inbox."""
    client = connection.client
    await client.connect(
        [server],
        name="cc-slurm-sync",
        # A missing permission is heard of only here: publish and flush succeed.
        error_cb=connection.note,
        closed_cb=connection.note_closed,
        # Else `flush` returns without an error while the broker is away, and nothing was sent.
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=CONNECT_SECONDS,
        **options,
    )
    connection.inbox = client.new_inbox()
    connection.subscription = await client.subscribe(connection.inbox)
    await _ping(client)
    if connection.errors:
        raise connection.errors[-1]


async def _flush(connection: _Connection, seconds: float) -> None:
    """Wait until the broker has answered a PING that follows all that was sent.

    Raises:
        TimeoutError: not in time, or the connection has ended.
    """
    flush = asyncio.ensure_future(_ping(connection.client))
    closed = asyncio.ensure_future(connection.closed.wait())
    both, first = (flush, closed), asyncio.FIRST_COMPLETED
    try:
        await asyncio.wait(both, timeout=seconds, return_when=first)
    finally:
        closed.cancel()
        flush.cancel()  # changes nothing if it is done
    if not flush.done():
        raise TimeoutError("the NATS broker did not answer a PING")
    await flush


async def _ping(client: Client) -> None:
    """Wait for two PONGs: nats-py writes a PING before the messages in its buffer (2.16.0).

    When the first one is answered, the buffer has been written; the second one follows it.
    """
    await client.flush()
    await client.flush()


async def _close(connection: _Connection) -> None:
    try:
        await asyncio.wait_for(connection.client.close(), CONNECT_SECONDS)
    except Exception as error:  # noqa: BLE001 - a border: it is given up in any case
        connection.errors.append(error)


async def _verdict(connection: _Connection) -> ReplyVerdict:
    """Return what the broker said to a message until it answered the PING behind it."""
    refused = [error for error in connection.errors if "permissions" in str(error).lower()]
    if refused:
        return ReplyVerdict(Reason.PUBLISH_REFUSED, str(refused[0]))
    if connection.errors or not connection.client.is_connected:
        text = "; ".join(str(error) or type(error).__name__ for error in connection.errors)
        return ReplyVerdict(Reason.BROKER_LOST, text)
    subscription, is_heard = connection.subscription, True
    # The PONG has been read, so that what the broker said before it is here already.
    while subscription is not None and subscription.pending_msgs:
        answer = await subscription.next_msg()
        is_heard &= (answer.headers or {}).get("Status") != _NO_RESPONDERS
    return ReplyVerdict(Reason.PUBLISHED if is_heard else Reason.NO_SUBSCRIBER)


def _refusal(errors: list[Exception]) -> ReplyVerdict:
    """Return why a connection could not be opened."""
    text = "; ".join(dict.fromkeys(str(error) or type(error).__name__ for error in errors))
    lowered = text.lower()
    if any(isinstance(error, ssl.SSLError) for error in errors):
        return ReplyVerdict(Reason.BROKER_TLS, text)
    if "permissions violation" in lowered:
        return ReplyVerdict(Reason.PUBLISH_REFUSED, text)
    if any(words in lowered for words in _REFUSED):
        return ReplyVerdict(Reason.BROKER_REFUSED, text)
    return ReplyVerdict(Reason.BROKER_AWAY, text)
