"""Replace the names of people and hosts in a site's outputs, each always by the same pseudonym.

The recorder first asks Slurm for every text that a user or the site chose, field by field. Each
of these texts is then replaced by one of the same kind wherever it occurs, longer texts first, so
that no part of a name is left. Numbers and words of one or two characters are not replaced: they
reveal nothing, and replacing them would damage other text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

SHORTEST = 3
_HOST = re.compile(r"^([A-Za-z][A-Za-z0-9_.-]*?)[0-9]+$")
_KEPT = frozenset(
    {
        *("(null)", "None", "N/A", "normal", "root", "nobody", "slurm", "true", "false", "null"),
        *("gpu", "cpu", "node", "billing", "mem", "name", "user", "account", "partition"),
    }
)


def prefix_of(host: str) -> str | None:
    """Return the part before the number in a host's name; None if there is no number."""
    found = _HOST.match(host)
    return found[1] if found else None


class Pseudonyms:
    """A table from names to pseudonyms of the same kind."""

    def __init__(self, names: Mapping[str, Iterable[str]], hosts: Iterable[str]) -> None:
        self._table: dict[bytes, bytes] = {}
        for kind, found in names.items():
            wanted = sorted({name.strip() for name in found})
            for number, name in enumerate((n for n in wanted if _is_replaced(n)), start=1):
                self._add(name, f"{kind}{number:04}")
        prefixes = sorted({prefix for host in hosts if (prefix := prefix_of(host))})
        self._prefixes = {
            name.encode(): f"node{chr(97 + number % 26)}{'x' * (number // 26)}".encode()
            for number, name in enumerate(prefixes)
        }
        for number, host in enumerate(sorted(set(hosts)), start=1):
            if prefix_of(host) is None and _is_replaced(host):
                self._add(host, f"host{number:04}")

    def hide(self, text: bytes) -> bytes:
        """Return an output with every name replaced."""
        words = sorted(self._table, key=len, reverse=True)
        if words:
            pattern = re.compile(b"|".join(map(re.escape, words)))
            text = pattern.sub(lambda found: self._table[found[0]], text)
        for prefix in sorted(self._prefixes, key=len, reverse=True):
            text = re.sub(
                rb"(?<![A-Za-z0-9])" + re.escape(prefix) + rb"(?=[\[0-9])",
                self._prefixes[prefix],
                text,
            )
        return text

    def _add(self, name: str, other: str) -> None:
        """Add a name as it is in plain text and as JSON escapes it, with escaped slashes too."""
        escaped = json.dumps(name, ensure_ascii=False)[1:-1]
        for form in (name, escaped, escaped.replace("/", r"\/"), json.dumps(name)[1:-1]):
            self._table.setdefault(form.encode("utf-8", "surrogateescape"), other.encode())


def _is_replaced(name: str) -> bool:
    return len(name) >= SHORTEST and name not in _KEPT and not name.replace(".", "").isdigit()
