"""Progress on a terminal, by tqdm; nothing is written anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spool.console import is_terminal

QUIET_SECONDS = 1.0  # steps are shown for what takes longer


@contextmanager
def show_steps() -> Iterator[Callable[[str], None]]:
    """Show what is asked, when it takes longer than a second; the function takes each step."""
    with _progress_line(delay=QUIET_SECONDS, bar_format=None) as describe:
        yield lambda what: describe(what, refresh=False)


@contextmanager
def show_remaining() -> Iterator[Callable[[int], None]]:
    """Show how many changes the drain has not dealt with; the function takes the number."""
    with _progress_line(delay=0.0, bar_format="{desc} [{elapsed}]") as describe:
        yield lambda left: describe(f"waiting for the drain: {left} left", refresh=True)


@contextmanager
def _progress_line(*, delay: float, bar_format: str | None) -> Iterator[Callable[..., None]]:
    """Give a function that names a step, counts it and, with `refresh`, redraws at once."""
    if not is_terminal(sys.stderr):
        yield lambda _what, **_: None
        return
    from tqdm import tqdm  # noqa: PLC0415 - only a terminal needs it

    tqdm.monitor_interval = 0  # no thread of its own
    with tqdm(
        delay=delay,
        bar_format=bar_format,
        mininterval=0.5,
        position=0,  # one line, also where one display is within another
        leave=False,
        file=sys.stderr,
    ) as bar:

        def describe(what: str, *, refresh: bool) -> None:
            bar.set_description(what, refresh=refresh)
            bar.update()

        yield describe
