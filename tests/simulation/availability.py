"""Which parts of the world work, since when, and whether they worked in a given period."""

from __future__ import annotations

from collections.abc import Iterable

PARTS = ("backend", "token", "starts", "stops", "slurm", "process", "texts", "names", "hosts")


class Availability:
    """The faults of each part of the world: how many are active, and when the part failed."""

    def __init__(self) -> None:
        self._active = dict.fromkeys(PARTS, 0)
        self._since = dict.fromkeys(PARTS, 0.0)
        self._bad: dict[str, list[tuple[float, float]]] = {part: [] for part in PARTS}
        self._began = dict.fromkeys(PARTS, 0.0)

    def begin_fault(self, parts: Iterable[str], now: float) -> None:
        """Record that a fault of some parts begins."""
        for part in parts:
            if not self._active[part]:
                self._began[part] = now
            self._active[part] += 1

    def end_fault(self, parts: Iterable[str], now: float) -> None:
        """Record that a fault of some parts ends."""
        for part in parts:
            self._active[part] -= 1
            if not self._active[part]:
                self._since[part] = now
                self._bad[part].append((self._began[part], now))

    def since(self, parts: Iterable[str]) -> float:
        """Return when the last fault of some parts ended; infinite while one is active."""
        wanted = list(parts)
        if any(self._active[part] for part in wanted):
            return float("inf")
        return max(self._since[part] for part in wanted)

    def was_available(self, begin: float, end: float, seconds: float, parts: Iterable[str]) -> bool:
        """Return whether all parts worked together for `seconds` between `begin` and `end`."""
        bad = [span for part in parts for span in self._bad[part]]
        bad += [(self._began[part], float("inf")) for part in parts if self._active[part]]
        at = begin
        for start, stop in sorted(bad):
            if stop <= at:
                continue
            if min(start, end) - at >= seconds:
                return True
            at = max(at, stop)
        return end - at >= seconds
