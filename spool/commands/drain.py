"""`cc-spool drain [--once]`: run the drain with the configuration."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Callable

from slurm.process import ProcessRunner
from spool import __version__
from spool.commands.config_watcher import ConfigWatcher
from spool.commands.drain_inputs import DrainClients, composer, drain_settings
from spool.commands.metrics import publish_metrics, remove_old_textfile, write_metrics
from spool.config import Config
from spool.drain.assembly import assemble
from spool.exit_codes import OK, TRY_AGAIN
from spool.files.layout import Layout
from spool.files.lock import spool_lock, take_lock
from spool.files.state_files import DRAIN_LOCK_FILE, DRAIN_STATE_FILE
from spool.log_output import set_log

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "--once",
        action="store_true",
        help="exit when nothing more can be delivered now (with exit code 75 if runs are pending)",
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
    watch = ConfigWatcher(current, token)
    try:
        while True:
            set_log(args.log_level or current.log.level, current.log.format)
            with (
                Layout(current.spool.directory) as layout,
                spool_lock(layout),
                publish_metrics(current, token) as lines,
            ):
                code = _drain(current, layout, watch, stopping, once=args.once, warnings=lines)
            if watch.new_config is None or stopping.is_set():
                return code
            remove_old_textfile(current, watch.new_config)
            current = watch.new_config
            token = watch.use_new_config(current)
    finally:
        lock.release()
        write_metrics(current, token)  # they show that the drain has ended


def _drain(
    config: Config,
    layout: Layout,
    watch: ConfigWatcher,
    stopping: threading.Event,
    *,
    once: bool,
    warnings: Callable[[], tuple[str, ...]],
) -> int:
    """Run the drain until a stop is requested or `watch` has a new configuration."""
    for warning in config.warnings:
        _log.warning("%s", warning)
    runner = ProcessRunner()
    clients = DrainClients(config, runner, watch.token)
    externals = clients.externals(watch, warnings, with_nodes=not once)
    service = assemble(drain_settings(config), composer(config), externals, layout=layout)
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


def _handle_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Let SIGTERM and SIGINT stop the service, and SIGHUP reload its configuration."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop())
    signal.signal(signal.SIGINT, lambda _number, _frame: stop())
    signal.signal(signal.SIGHUP, lambda _number, _frame: reload())
