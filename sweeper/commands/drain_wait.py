"""How `apply` and `backfill` wait for the drain; where none is running they drain here."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from spool.commands import drain
from spool.config import Config
from sweeper.apply import DrainWait


def drain_wait(
    config: Config,
    args: argparse.Namespace,
    timeout_seconds: float,
    on_progress: Callable[[int], None] = lambda _left: None,
) -> DrainWait:
    """Return how long to wait and how to drain once."""
    once = argparse.Namespace(**{**vars(args), "once": True})
    return DrainWait(
        state_directory=config.spool.state_directory,
        timeout_seconds=timeout_seconds,
        drain_once=lambda: drain.run(config, once),
        clock=time.monotonic,
        sleep=time.sleep,
        on_progress=on_progress,
    )
