"""A real NATS broker, and the stub of cc-backend as its subscriber.

The subscriber handles messages as cc-backend >= 1.5.2 does: eight workers, in no fixed order.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from free_port import free_port
from nats.aio.client import Client
from nats.aio.msg import Msg
from stub_server import StubServer

SUBJECT = "cc.job"
WORKERS = 8
PATIENCE_SECONDS = 20.0
PROGRAM = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needs_broker = pytest.mark.skipif(
    PROGRAM is None and not os.environ.get("REQUIRE_SLURM"),
    reason="Debian's package nats-server is not installed",
)


class NatsServer:
    """A broker on its own port that can be killed and started again."""

    def __init__(self, root: Path, settings: str = "", *, scheme: str = "nats") -> None:
        self.port = free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._log = root / f"nats-{self.port}.log"
        self._config = root / f"nats-{self.port}.conf"
        self._config.write_text(f'listen: "127.0.0.1:{self.port}"\n{settings}\n')
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the broker and wait until it listens."""
        assert PROGRAM is not None
        with self._log.open("ab") as log:
            command = [PROGRAM, "-c", str(self._config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.02)
        raise TimeoutError(self._log.read_text())

    def kill(self) -> None:
        """Kill the broker; messages that it has not delivered are lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def hang(self) -> None:
        """Suspend the broker; it keeps its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """Resume the broker after `hang`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


class LineRecorder:
    """A broker that records the lines sent to it in order and answers each PING immediately.

    `is_mute`: it answers no PING after a message. A message sets `got_message`. It accepts one
    connection after the other.
    """

    INFO = b'INFO {"server_id":"x","version":"2.9.10","headers":true,"max_payload":1048576}\r\n'

    def __init__(self, *, is_mute: bool = False) -> None:
        self.lines: list[str] = []
        self.connections = 0
        self.got_message = threading.Event()
        self._is_mute = is_mute
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):  # the socket was closed
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            stream.write(self.INFO)
            stream.flush()
            is_mute = False
            for line in stream:
                if line.strip():
                    self.lines.append(line.decode())
                if line.startswith(b"PUB"):
                    is_mute = self._is_mute
                    self.got_message.set()
                if line.startswith(b"PING") and not is_mute:
                    stream.write(b"PONG\r\n")
                    stream.flush()


class Subscriber:
    """The stub of cc-backend as a subscriber: it reconnects, never replies, and keeps no order."""

    def __init__(self, url: str, server: StubServer, *, slowest_seconds: float = 0.02) -> None:
        self._url = url
        self._server = server
        parts = (1.0, 0.0, 0.3, 0.7, 0.5, 0.1, 0.0)  # odd count: each delay hits starts and stops
        self._delays = itertools.cycle(slowest_seconds * part for part in parts)
        self._workers = ThreadPoolExecutor(WORKERS)
        self._loop = asyncio.new_event_loop()
        self._client = Client()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.messages: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._subscribe(), self._loop).result(PATIENCE_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(PATIENCE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()
        self._workers.shutdown()

    async def _subscribe(self) -> None:
        async def ignore(_error: Exception) -> None:
            """Ignore an error of the client: the broker is killed on purpose."""

        await self._client.connect(
            [self._url], max_reconnect_attempts=-1, reconnect_time_wait=0, error_cb=ignore
        )
        await self._client.subscribe(SUBJECT, cb=self._take)
        await self._client.flush()  # sent before the subscription; the next flush comes after it
        await self._client.flush()

    async def _take(self, message: Msg) -> None:
        text = message.data.decode()
        if text.strip():
            self.messages.append(text)
        self._workers.submit(self._handle, text, next(self._delays))

    def _handle(self, text: str, seconds: float) -> None:
        time.sleep(seconds)
        self._server.take_message(text)
