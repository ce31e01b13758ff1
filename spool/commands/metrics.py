"""`cc-spool metrics`: print the metrics once; drain and sweep publish the same metrics.

All come from the state files and the spool: no network, no Slurm, no lock, and no running drain.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spool.config import Config
from spool.console import write_output
from spool.exit_codes import OK
from spool.identity import MaskedToken


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments: there are none."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the metrics in Prometheus' text format; return the exit code."""
    from spool.commands.read_metrics import SnapshotReader  # noqa: PLC0415 - as below
    from spool.metrics.output import metrics_text  # noqa: PLC0415 - as below

    write_output(metrics_text(SnapshotReader(config, args.token)).decode())
    return OK


@contextmanager
def publish_metrics(config: Config, token: MaskedToken) -> Iterator[Callable[[], tuple[str, ...]]]:
    """Publish the metrics, if configured, until the block ends; yield a getter of warnings."""
    if config.metrics.textfile is None and config.metrics.listen is None:
        yield tuple
        return
    from spool.commands.read_metrics import SnapshotReader  # noqa: PLC0415 - as below
    from spool.metrics.output import MetricsPublisher  # noqa: PLC0415 - as below

    publisher = MetricsPublisher(
        SnapshotReader(config, token),
        textfile=config.metrics.textfile,
        listen=config.metrics.listen,
    )
    publisher.start()
    try:
        yield publisher.warnings
    finally:
        publisher.close()


def write_metrics(config: Config, token: MaskedToken) -> None:
    """Write the metrics file once, if it is configured; an error is only logged."""
    if config.metrics.textfile is None:
        return
    # imported here: prometheus_client takes some MiB, which sites without it need not pay
    from spool.commands.read_metrics import SnapshotReader  # noqa: PLC0415 - see above
    from spool.metrics.output import MetricsPublisher  # noqa: PLC0415 - see above

    reader = SnapshotReader(config, token)
    MetricsPublisher(reader, textfile=None, listen=None).write(config.metrics.textfile)


def remove_old_textfile(before: Config, after: Config) -> None:
    """Remove the metrics file of an earlier configuration; an error is only logged.

    node_exporter would show its values for ever, beside those of the new file.
    """
    path = before.metrics.textfile
    if path is None or path == after.metrics.textfile:
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        text = (
            "the old metrics file %s cannot be removed: %s; remove it, otherwise node_exporter"
            " keeps showing its values"
        )
        logging.getLogger(__name__).warning(text, path, error.strerror)
