"""Write host names as a node list of cluster.json: `n[001-004],g1`.

cc-backend knows letters, digits, dashes and ranges of one width (v1.0.0 ... v1.5.4,
`pkg/archive/nodelist.go`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_LAST_NUMBER = re.compile(r"(.*?)([0-9]{1,18})([^0-9]*)", re.DOTALL)
_ALLOWED = re.compile(r"[A-Za-z0-9-]+")


def fold_hosts(hosts: Iterable[str]) -> str:
    """Return a node list of exactly these hosts, each once, in order of first appearance."""
    groups: dict[tuple[str, int, str], list[str]] = {}
    for host in dict.fromkeys(hosts):
        found = _LAST_NUMBER.fullmatch(host)
        if found is None:
            groups[host, 0, ""] = []
        else:
            prefix, number, suffix = found.groups()
            groups.setdefault((prefix, len(number), suffix), []).append(number)
    return ",".join(_item(prefix, numbers, tail) for (prefix, _, tail), numbers in groups.items())


def unusable_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that no node list of cc-backend can hold."""
    return tuple(host for host in hosts if not _ALLOWED.fullmatch(host))


def _item(prefix: str, numbers: Sequence[str], suffix: str) -> str:
    if len(numbers) < 2:  # noqa: PLR2004 - one host needs no range
        return f"{prefix}{''.join(numbers)}{suffix}"
    return f"{prefix}[{','.join(_ranges(sorted(numbers)))}]{suffix}"


def _ranges(numbers: Sequence[str]) -> Iterator[str]:
    """Yield the ranges of sorted numbers of one width."""
    first = last = numbers[0]
    for number in [*numbers[1:], ""]:
        if number and int(number) == int(last) + 1:
            last = number
            continue
        yield first if first == last else f"{first}-{last}"
        first = last = number
