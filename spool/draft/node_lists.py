"""Write host names as a node list of cluster.json: `n[001-004],g1`.

cc-backend knows letters, digits, dashes and ranges of one width. It does not start with a single
number or one above 32 bits in brackets, nor with a dash right behind them (cc-backend 1.5.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_LAST_NUMBER = re.compile(r"(.*?)([0-9]{1,9})((?!-)[^0-9]*)", re.DOTALL)
_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


def fold_hosts(hosts: Iterable[str]) -> str:
    """Return a node list of exactly these hosts, each once."""
    items: dict[tuple[str, int, str], list[str]] = {}
    for host in dict.fromkeys(hosts):
        found = _LAST_NUMBER.fullmatch(host)
        prefix, number, suffix = found.groups() if found else (host, "", "")
        items.setdefault((prefix, len(number), suffix), []).append(number)
    return ",".join(
        item
        for (prefix, _, tail), numbers in items.items()
        for item in _items(prefix, numbers, tail)
    )


def unusable_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that no node list of cc-backend can hold."""
    return tuple(host for host in hosts if not _ALLOWED.fullmatch(host))


def _items(prefix: str, numbers: Sequence[str], suffix: str) -> Iterator[str]:
    """Yield one item with all ranges, then each number that is in none."""
    pairs = list(_ranges(sorted(numbers)))
    ranges = [f"{first}-{last}" for first, last in pairs if first != last]
    if ranges:
        yield f"{prefix}[{','.join(ranges)}]{suffix}"
    yield from (f"{prefix}{first}{suffix}" for first, last in pairs if first == last)


def _ranges(numbers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield first and last of each range of sorted numbers of one width."""
    first = last = numbers[0]
    for number in [*numbers[1:], ""]:
        if number and int(number) == int(last) + 1:
            last = number
            continue
        yield first, last
        first = last = number
