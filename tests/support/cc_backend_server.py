"""A real cc-backend on loopback, for tests: `with RealServer(binary, root) as server: server.url`.

Its configuration is that of the recorded server of its release (or of the nearest older one),
except for the address and the commit interval of the job cache. Each server gets new keys.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from backend_version import parse_version
from free_port import free_port
from recorded_backend import files, releases, version_of

from ccbackend.version import Version

COMMIT_INTERVAL = "2s"
_START_SECONDS = 30.0
_NO_FILE_NEEDED = Version(1, 5, 0)
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


class RealServer:
    """One server with its own database; with `nats` it has no REST job API (from 1.5.0)."""

    def __init__(self, binary: Path, root: Path) -> None:
        self._binary = binary
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self.broker_url = ""
        """The URL of the broker in NATS mode; "": the URL of a broker that does not exist."""
        self.commit_interval = COMMIT_INTERVAL
        self._port = free_port()
        self.version = self._ask_version()
        self._write_settings()
        self._make_keys()
        self._run("-migrate-db")
        self._run("-add-user", "svc:api:")
        self.token = self._token()

    @property
    def url(self) -> str:
        """The base URL, the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, nats: bool = False) -> None:
        """Start the server and wait until it listens."""
        self._configure(nats=nats)
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binary), "-server", "-loglevel", "info"],
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until:
                words = (self._root / "log").read_text()[-2000:]
                raise AssertionError(f"the server did not start: {words}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill the server: up to 1.4.4 it does not end otherwise after a failed archiving."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def database(self) -> Path:
        """The path of the server's SQLite database."""
        return self._root / "var" / "job.db"

    def admin_token(self) -> str:
        """Return the token of an administrator: only administrators may read node states."""
        self._run("-add-user", "boss:admin:secret")
        return self._token("boss")

    def replace_cluster(self, name: str, text: str) -> None:
        """Replace the server's cluster.json; call this before the server is started."""
        (self._root / "var" / "job-archive" / name / "cluster.json").write_text(text)

    def archived(self, cluster: str, job_id: int, start: int) -> Path:
        """Return the path at which the server archives a job."""
        archive = self._root / "var" / "job-archive" / cluster
        return archive / str(job_id // 1000) / f"{job_id % 1000:03}" / str(start) / "meta.json"

    def become(self, binary: Path) -> None:
        """Change to another release and keep the database, as an upgrade does."""
        self.stop()
        self._binary = binary
        self.version = self._ask_version()
        self._write_settings()
        self._run("-migrate-db")

    def _listens(self) -> bool:
        with socket.socket() as peer:
            return peer.connect_ex(("127.0.0.1", self._port)) == 0

    def _ask_version(self) -> Version:
        shown = subprocess.run([self._binary, "-version"], capture_output=True, check=True)
        found = re.search(r"Version:\s*v?(\d+\.\d+\.\d+)", shown.stdout.decode())
        if found is None:
            raise AssertionError(f"no version is shown: {shown.stdout!r}")
        return parse_version(found[1])

    def _write_settings(self) -> None:
        """Write the files of the recorded server of this release."""
        older = [each for each in releases() if parse_version(version_of(each)) <= self.version]
        for path, content in files((older or releases())[-1]).items():
            if path.startswith("server/"):
                target = self._root / path.removeprefix("server/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)

    def _make_keys(self) -> None:
        seed, public = _ed25519()
        values = {
            "JWT_PUBLIC_KEY": public,
            "JWT_PRIVATE_KEY": seed + public,
            "SESSION_KEY": secrets.token_bytes(32),
        }
        lines = (f'{name}="{base64.b64encode(key).decode()}"\n' for name, key in values.items())
        (self._root / ".env").write_text("".join(lines))

    def _configure(self, *, nats: bool) -> None:
        path = self._root / "config.json"
        config: dict[str, Any] = json.loads(path.read_text())
        if self.version < _NO_FILE_NEEDED:
            config["addr"] = f"127.0.0.1:{self._port}"
        else:
            config["main"]["addr"] = f"127.0.0.1:{self._port}"
            config["cron"]["commit-job-worker"] = self.commit_interval
            config["main"].pop("api-subjects", None)
            config.pop("nats", None)
        if nats:
            subjects = {"subject-job-event": "cc.job", "subject-node-state": "cc.node"}
            config["main"]["api-subjects"] = subjects
            url = self.broker_url or f"nats://127.0.0.1:{free_port()}"
            config["nats"] = {"address": url}
        path.write_text(json.dumps(config))

    def _token(self, user: str = "svc") -> str:
        found = _JWT.search(self._run("-jwt", user))
        if found is None:
            raise AssertionError("no token is shown")
        return found[0]

    def _run(self, *words: str) -> str:
        """Run a command of the server in its directory and return its output."""
        self._configure(nats=False)
        done = subprocess.run(
            [self._binary, *words],
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=120,
        )
        text = done.stdout.decode("utf-8", "replace")
        if done.returncode != 0:
            raise AssertionError(f"{words}: {text[-2000:]}")
        return text


def _ed25519() -> tuple[bytes, bytes]:
    """Return a new key pair: 32 bytes of seed and 32 bytes of public key."""
    private = _openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER")
    public = _openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", stdin=private)
    return private[-32:], public[-32:]


def _openssl(*words: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *words], input=stdin, stdout=subprocess.PIPE, check=True)
    return done.stdout
