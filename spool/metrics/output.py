"""Write metrics as text, to a file for node_exporter, or serve them over HTTP."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from spool.errors import internal_error
from spool.metrics.families import metric_families
from spool.metrics.http_server import MetricsServer
from spool.metrics.samples import PREFIX
from spool.metrics.snapshot import MetricsSnapshot

WRITE_SECONDS = 10.0
LISTEN_AGAIN_SECONDS = 10.0  # after the address was in use, or not there yet
PATIENCE_SECONDS = 1.0  # of start and end, while a name server does not answer
TEXTFILE_MODE = 0o644  # node_exporter reads it as another user
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(__name__)

ReadSnapshot = Callable[[], MetricsSnapshot]


class SnapshotCollector:
    """A collector that reads a new snapshot each time; for any thread."""

    def __init__(self, read: ReadSnapshot) -> None:
        self._read = read
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics, and those of the drain's process while one runs."""
        with self._lock:
            snapshot = self._read()
        families = [*metric_families(snapshot)]
        if (pid := snapshot.pid) is not None:
            families += ProcessCollector(PREFIX.rstrip("_"), lambda: pid, registry=None).collect()
        if snapshot.instance:
            _label(families, snapshot.instance)
        yield from families


def _label(families: Iterable[Metric], instance: str) -> None:
    """Add the label `installation` with the name of the instance to each sample.

    node_exporter drops one of two equal samples, even if they are in two files. The label is
    not called `instance`, which Prometheus sets itself.
    """
    for family in families:
        family.samples = [
            sample._replace(labels={**sample.labels, "installation": instance})
            for sample in family.samples
        ]


def metrics_registry(read: ReadSnapshot) -> CollectorRegistry:
    """Return a registry with the metrics of a snapshot and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(read))
    return registry


def metrics_text(read: ReadSnapshot) -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(metrics_registry(read))


def write_textfile(path: Path, contents: bytes) -> None:
    """Replace a file that node_exporter may be reading; it is readable for all users.

    Raises:
        OSError: the old file is still there.
    """
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # node_exporter reads only *.prom
    with suppress(FileNotFoundError):
        tmp.unlink()  # of a process of this id that was killed
    with os.fdopen(os.open(tmp, _CREATE, TEXTFILE_MODE), "wb") as file:
        os.fchmod(file.fileno(), TEXTFILE_MODE)  # whatever the umask is
        file.write(contents)
    tmp.rename(path)


class MetricsPublisher:
    """The writer and server of metrics, in its own threads: the drain's loop never waits."""

    def __init__(
        self, read: ReadSnapshot, *, textfile: Path | None, listen: tuple[str, int] | None
    ) -> None:
        self._read = read
        self._textfile = textfile
        self._listen = listen
        self._problems: dict[str, str] = {}
        self._stopping = threading.Event()
        self._has_tried = threading.Event()  # to listen
        self._writer: threading.Thread | None = None
        self._listener: threading.Thread | None = None
        self._server: MetricsServer | None = None

    def warnings(self) -> tuple[str, ...]:
        """Return why metrics cannot be written or served; for any thread."""
        return tuple(self._problems.values())

    def start(self) -> None:
        """Write and serve from now on; an error is logged and is one of the warnings."""
        if self._listen is not None:
            self._listener = _started(self._serve, *self._listen)
            self._has_tried.wait(PATIENCE_SECONDS)  # so that the warnings are complete
        if self._textfile is not None:
            self._writer = _started(self._write_often, self._textfile)

    def close(self) -> None:
        """Stop writing and serving; wait for the threads, for the server at most a second."""
        self._stopping.set()
        if self._server is not None:
            self._server.wake()
        if self._writer is not None:
            self._writer.join()
        if self._listener is not None:
            self._listener.join(PATIENCE_SECONDS)

    def write(self, path: Path) -> None:
        """Write the file once; an error is logged when it begins, changes or ends."""
        try:
            write_textfile(path, metrics_text(self._read))
        except Exception as error:  # noqa: BLE001 - a border: one file; the thread goes on
            is_expected = isinstance(error, OSError)
            reason = error.strerror if isinstance(error, OSError) else internal_error(error)
            problem = f"metrics.textfile: {path} cannot be written: {reason}"
            if problem != self._problems.get("textfile"):
                _log.warning("%s", problem, exc_info=None if is_expected else error)
            self._problems["textfile"] = problem
        else:
            if self._problems.pop("textfile", None):
                _log.info("metrics.textfile: %s is written again", path)

    def _write_often(self, path: Path) -> None:
        while True:
            self.write(path)
            if self._stopping.wait(WRITE_SECONDS):
                return

    def _begin_to_listen(self, host: str, port: int) -> None:
        try:
            self._server = MetricsServer(host, port, metrics_registry(self._read))
        except (OSError, UnicodeError) as error:  # the latter for a host name that is too long
            reason = error.strerror if isinstance(error, OSError) else error
            problem = f"metrics.listen: cannot listen on {host}:{port}: {reason}"
            if problem != self._problems.get("listen"):
                _log.warning("%s", problem)
            self._problems["listen"] = problem
        else:
            self._problems.pop("listen", None)
            _log.info("metrics are served on http://%s:%d/metrics", host, port)

    def _serve(self, host: str, port: int) -> None:
        self._begin_to_listen(host, port)
        self._has_tried.set()
        while self._server is None:
            if self._stopping.wait(LISTEN_AGAIN_SECONDS):
                return
            self._begin_to_listen(host, port)
        with self._server as server:
            while not self._stopping.is_set():
                server.handle_request()


def _started(run: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=run, name="metrics", args=arguments, daemon=True)
    thread.start()
    return thread
