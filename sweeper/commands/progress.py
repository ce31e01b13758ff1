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
    with _progress_line(delay=QUIET_SECONDS, bar_format=None) as (describe, advance):

        def step(what: str) -> None:
            describe(what)
            advance()

        yield step


@contextmanager
def show_remaining() -> Iterator[Callable[[int], None]]:
    """Show how many changes the drain has not dealt with; the function takes the number."""
    with _progress_line(delay=0.0, bar_format="{desc} [{elapsed}]") as (describe, advance):

        def show(left: int) -> None:
            describe(f"waiting for the drain: {left} left")
            advance()

        yield show


@contextmanager
def _progress_line(
    *, delay: float, bar_format: str | None
) -> Iterator[tuple[Callable[[str], None], Callable[[], object]]]:
    """Give two functions: one names what is going on, one counts a step and redraws."""
    if not is_terminal(sys.stderr):
        yield lambda _what: None, lambda: None
        return
    from tqdm import tqdm  # noqa: PLC0415 - only a terminal needs it

    tqdm.monitor_interval = 0  # no thread of its own
    with tqdm(
        delay=delay, bar_format=bar_format, mininterval=0.5, leave=False, file=sys.stderr
    ) as bar:
        yield lambda what: bar.set_description(what, refresh=False), bar.update
