"""Expansion of Slurm's host list expressions and index lists, strict and bounded.

Order is kept, because it is the node order of cores and GRES; duplicates stay. Text outside the
grammar is an error with its position, never an invented host. The grammar is that of
`src/common/hostlist.c` (Slurm 21.08 ... 26.05) for what the controller prints: no nesting, no
`{...}` functions, no multi-dimensional boxes.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from slurm.decode.fields.scalars import MAX_DIGITS
from slurm.errors import excerpt

MAX_HOSTS = 65536

NO_HOSTS = frozenset({"", "(null)", "None assigned", "None"})
"""What the commands print for a job without nodes."""

_ITEM_END = re.compile(r"[,\s]+")
_ITEM_PART = re.compile(r"([A-Za-z0-9._-]+)|\[([^][]*)\]")
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")


class HostlistError(ValueError):
    """An expression outside the grammar; its message counts characters from 0."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(f"{reason} at character {position} of {excerpt(text)!r}")


def expand_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts of an expression such as `n[01-03,7],r[0-1]c[1-2]x`, in its order.

    Raises:
        HostlistError: the text breaks the grammar or stands for more than `MAX_HOSTS` hosts.
    """
    # These words would be valid host names in the grammar: "None assigned" would become two nodes.
    if text.strip() in NO_HOSTS:
        return ()
    hosts: list[str] = []
    position = 0
    while position < len(text):
        if separator := _ITEM_END.match(text, position):
            position = separator.end()
            continue
        parts, position = _parse_item(text, position)
        # Checked before the product is made: `n[0-9999][0-9999]` is a short text and 100 million
        # hosts.
        if len(hosts) + math.prod(map(len, parts)) > MAX_HOSTS:
            raise HostlistError(text, position, f"more than {MAX_HOSTS} hosts")
        hosts.extend(map("".join, itertools.product(*parts)))
    return tuple(hosts)


def readable_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts of an expression; () if it cannot be read."""
    try:
        return expand_hosts(text)
    except HostlistError:
        return ()


def expand_indices(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as `0-3,8`, in its order; () for `""`.

    Raises:
        HostlistError: the text breaks the grammar or stands for more than `MAX_HOSTS` numbers.
    """
    if not text:
        return ()
    return tuple(map(int, _expand_ranges(text, 0, text)))


def _parse_item(text: str, position: int) -> tuple[list[Sequence[str]], int]:
    """Parse one item: return each part's alternatives (`n`, `[01-03]`) and the end position."""
    parts: list[Sequence[str]] = []
    while position < len(text) and not _ITEM_END.match(text, position):
        part = _ITEM_PART.match(text, position)
        if part is None:
            raise HostlistError(text, position, f"unexpected {text[position]!r}")
        literal, ranges = part.groups()
        if literal is None:
            parts.append(_expand_ranges(text, position + 1, ranges))
        else:
            parts.append((literal,))
        position = part.end()
    return parts, position


def _expand_ranges(text: str, position: int, ranges: str) -> list[str]:
    numbers: list[str] = []
    for piece in ranges.split(","):
        found = _RANGE.fullmatch(piece)
        if found is None:
            reason = f"expected a number or a range such as 1-4, got {excerpt(piece)!r}"
            raise HostlistError(text, position, reason)
        low, high = found[1], found[2] or found[1]
        # No site has such numbers. Python itself has a limit, and would report it without the
        # position.
        if max(len(low), len(high)) > MAX_DIGITS:
            raise HostlistError(text, position, f"a number with more than {MAX_DIGITS} digits")
        if int(high) < int(low):
            raise HostlistError(text, position, f"the range {piece} counts backwards")
        # Before `range` is expanded: a forged range must not take the memory of the drain.
        if len(numbers) + int(high) - int(low) >= MAX_HOSTS:
            raise HostlistError(text, position, f"more than {MAX_HOSTS} entries")
        # The width is that of the lower bound: `[08-11]` has leading zeros, `[8-11]` has none.
        numbers.extend(str(n).zfill(len(low)) for n in range(int(low), int(high) + 1))
        position += len(piece) + 1
    return numbers
