"""`cc-spool drain [--once]`: run the drain with the configuration."""

from __future__ import annotations

import argparse
import functools
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ccbackend.client import BackendClient
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import ExchangeLimits
from slurm.client import Slurm
from slurm.process import ProcessRunner
from spool import __version__
from spool.commands.metrics import publish_metrics, write_metrics
from spool.config import Config, load_checked
from spool.config.backend_settings import job_filters, metadata_policy, site_map
from spool.connections import (
    EDIT_LIMITS,
    NODE_STATES_LIMITS,
    JobClient,
    backend_client,
    job_clients,
    node_reporter,
    slurm_client,
)
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import assemble
from spool.drain.externals import DrainSettings, Externals
from spool.errors import ConfigError
from spool.exit_codes import OK, TRY_AGAIN
from spool.files.layout import Layout
from spool.files.lock import take_lock
from spool.files.state_files import DRAIN_LOCK_FILE, DRAIN_STATE_FILE
from spool.identity import MaskedToken, credentials_directory
from spool.log_output import set_log
from spool.nodes.reporter import NodeReporter
from spool.resolve.final_description import FinalDescriptions
from spool.resolve.job_texts import COMMAND_SECONDS, JobTexts, TextSettings

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "--once",
        action="store_true",
        help="exit when nothing more can be delivered now (exit code 75: runs are pending)",
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Run the drain as a service or once; return the exit code.

    A changed configuration is used without a restart; if it has problems, they are logged and the
    old one stays in use. `args.token` is the token as read by root.

    Raises:
        SpoolLockedError: another drain is running on this spool.
        SpoolError, OSError: spool or state directory cannot be used.
    """
    state = config.spool.state_directory
    lock = take_lock(state / DRAIN_LOCK_FILE, state / DRAIN_STATE_FILE)
    _log.info("cc-slurm-sync %s started", __version__)
    current, token, stopping = config, args.token, threading.Event()
    try:
        while True:
            set_log(args.log_level or current.log.level, current.log.format)
            watch = ConfigWatcher(current, token)
            with (
                Layout(current.spool.directory) as layout,
                publish_metrics(current, token) as lines,
            ):
                code = _drain(current, layout, watch, stopping, once=args.once, warnings=lines)
            if watch.new_config is None or stopping.is_set():
                return code
            current, token = watch.new_config, token_for(watch.new_config, token)
    finally:
        lock.release()
        write_metrics(current, token)  # nobody else will say that the drain has ended


def _drain(
    config: Config,
    layout: Layout,
    watch: ConfigWatcher,
    stopping: threading.Event,
    *,
    once: bool,
    warnings: Callable[[], tuple[str, ...]],
) -> int:
    """Run the drain until it is `stopping` or `watch` has a new configuration.

    `warnings` are those of monitoring, which `check` shows.
    """
    for warning in config.warnings:
        _log.warning("%s", warning)
    runner = ProcessRunner()
    composer = _composer(config)
    clients = _Clients(config, runner, watch.token)
    externals = Externals(
        slurm=clients.new_slurm,
        warnings=lambda: (*clients.warnings(), *warnings()),
        slurm_release=clients.slurm_release,
        backend=clients.new_backend,
        texts=_job_texts(config, runner).ask,
        final_texts=FinalDescriptions(clients.new_slurm()).ask,
        inputs_changed=watch,
        editor=clients.new_editor,
        nodes=None if once or not config.nodes.interval_seconds else clients.new_nodes().run,
    )
    service = assemble(_settings(config), composer, externals, layout=layout)
    watch.on_new_config = service.hand_over

    def stop() -> None:
        stopping.set()  # also for one that is only being put together
        service.stop()
        runner.stop()

    _handle_signals(stop, watch.request_reload)
    if stopping.is_set():
        service.stop()
    try:
        if once:
            return OK if service.run_once() else TRY_AGAIN
        service.run()
    finally:
        service.close()
        clients.close()
    return OK


class _Clients:
    """A client of Slurm or cc-backend for each worker that asks for one."""

    def __init__(self, config: Config, runner: ProcessRunner, token: MaskedToken) -> None:
        self._config = config
        self._runner = runner
        self._slurms: list[Slurm] = []
        self._token = token
        self._shared = SharedServerInfo()
        self._stack = ExitStack()
        self.new_backend: Callable[[], JobClient] = job_clients(
            config, token, self._shared, self._stack
        )
        """Returns a client of cc-backend; all of them share what is known of the server."""

    def new_slurm(self) -> Slurm:
        """Return a client of Slurm."""
        self._slurms.append(slurm_client(self._config, self._runner))
        return self._slurms[-1]

    def new_editor(self) -> BackendClient:
        """Return a client of cc-backend that gives up soon; called by the workers of stops."""
        return self._new_rest_client(EDIT_LIMITS)

    def new_nodes(self) -> NodeReporter:
        """Return a reporter of node states with clients of its own."""
        backend = self._new_rest_client(NODE_STATES_LIMITS)
        return node_reporter(self._config, self._runner, backend)

    def warnings(self) -> tuple[str, ...]:
        """Return the lines that Slurm printed next to good answers, each line once."""
        return tuple(dict.fromkeys(line for each in self._slurms for line in each.warnings()))

    def slurm_release(self) -> str | None:
        """Return Slurm's release as one of the clients has read it; None before that."""
        return next((str(each.known_release) for each in self._slurms if each.known_release), None)

    def close(self) -> None:
        """Close the connections to cc-backend and NATS."""
        self._stack.close()

    def _new_rest_client(self, limits: ExchangeLimits) -> BackendClient:
        backend = backend_client(self._config, self._token, self._shared, limits=limits)
        self._stack.callback(backend.close)
        return backend


def _settings(config: Config) -> DrainSettings:
    """Return the drain's settings from the configuration."""
    return DrainSettings(
        state=config.spool.state_directory,
        hold_seconds=config.drain.stop_hold_seconds,
        replace_earlier=config.drain.requeue == "replace",
        keep_days=config.spool.keep_delivered_days,
        min_free_bytes=config.spool.min_free_bytes,
        wants_texts=config.metadata.job_script or config.metadata.slurm_info,
        nodes_interval_seconds=config.nodes.interval_seconds,
    )


def _handle_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Let SIGTERM and SIGINT stop the service, and SIGHUP reload its configuration."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop())
    signal.signal(signal.SIGINT, lambda _number, _frame: stop())
    signal.signal(signal.SIGHUP, lambda _number, _frame: reload())


class ConfigWatcher:
    """The watcher of token and configuration; `new_config` is a changed configuration.

    Called at every pass, it returns whether the cause of a halt may be repaired: each time that the
    token file has changed since the last call, whether it could be read or not.
    """

    def __init__(self, config: Config, token: MaskedToken) -> None:
        self.token = token
        self.new_config: Config | None = None
        self.on_new_config: Callable[[], None] = lambda: None
        self._config = config
        self._file_stamp = _file_stamp(config.path)
        self._token_stamp = token.fingerprint()
        self._reload_requested = False

    def request_reload(self) -> None:
        """Make the next call reload the configuration; safe in a signal handler."""
        self._reload_requested = True

    def __call__(self) -> bool:
        """Return whether token or configuration changed since the last call."""
        stamp = _file_stamp(self._config.path)
        requested, self._reload_requested = self._reload_requested, False
        if stamp != self._file_stamp or requested:
            self._file_stamp = stamp
            self._reload()
            return True
        before, self._token_stamp = self._token_stamp, self.token.fingerprint()
        return before != self._token_stamp

    def _reload(self) -> None:
        try:
            found = load_checked(self._config.path, credentials=credentials_directory())
        except ConfigError as error:
            for problem in error.problems:
                _log.error("the changed configuration has an error and is not used: %s", problem)
            return
        if _directories(found) != _directories(self._config):
            _log.error(
                "the spool or state directory has changed: type `systemctl restart cc-spool`"
            )
            return
        _log.info("the configuration was reloaded")
        self.new_config = found
        self.on_new_config()


def token_for(config: Config, token: MaskedToken) -> MaskedToken:
    """Return the token of a new configuration: the current one if it is in the same file."""
    new = MaskedToken(config)
    return token if new.path is not None and new.path == token.path else new


def _directories(config: Config) -> tuple[Path, Path]:
    """Return the directories of the lock and of the open spool."""
    return config.spool.directory, config.spool.state_directory


def _file_stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _composer(config: Config) -> PayloadComposer:
    sites = functools.partial(site_map, config)
    return PayloadComposer(sites, metadata_policy(config), job_filters(config))


def _job_texts(config: Config, runner: ProcessRunner) -> JobTexts:
    """Return the reader of scripts, descriptions and user names for its worker."""
    settings = TextSettings(
        with_script=config.metadata.job_script,
        with_description=config.metadata.slurm_info,
        state_save_location=config.slurm.state_save_location,
        script_limit_bytes=config.metadata.job_script_bytes,
    )
    return JobTexts(slurm_client(config, runner, timeout_seconds=COMMAND_SECONDS), settings)
