"""The result of one check: a name, a verdict, a text, what to do about it, and figures.

Verdicts and their numbers are those of monitoring plugins. Texts are escaped where they are made,
so none of them can break a plugin's line or a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from spool.escaping import escape

TEXT_CHARACTERS = 400


class Verdict(IntEnum):
    """Exit codes of monitoring plugins; UNKNOWN says that it could not be found out."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_SEVERITY = (Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN, Verdict.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a result; `unit` is `s`, `B` or nothing, `value` None is not known.

    Values from a limit on are bad; where `falling` is set, values below it.
    """

    label: str
    value: float | None
    unit: str = ""
    warning: float | None = None
    critical: float | None = None
    falling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one check found. `hint` says what to do and is empty where there is nothing to do."""

    name: str
    verdict: Verdict
    text: str
    hint: str = ""
    figures: tuple[Figure, ...] = field(default=())

    @property
    def is_well(self) -> bool:
        """Tell whether there is nothing to do."""
        return self.verdict is Verdict.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From which age on a waiting thing is a warning, and from which critical; seconds."""

    warning_seconds: float = 900.0
    critical_seconds: float = 3600.0

    def verdict(self, seconds: float) -> Verdict:
        """Return the verdict on an age."""
        if seconds >= self.critical_seconds:
            return Verdict.CRITICAL
        return Verdict.WARNING if seconds >= self.warning_seconds else Verdict.OK


def good(name: str, text: str, *figures: Figure) -> Result:
    """Return the result of a check that found nothing wrong."""
    return Result(name=name, verdict=Verdict.OK, text=shown(text), figures=figures)


def bad(verdict: Verdict, name: str, text: str, hint: str, *figures: Figure) -> Result:
    """Return the result of a check that found something to do."""
    return Result(name=name, verdict=verdict, text=shown(text), hint=shown(hint), figures=figures)


def worst(results: Iterable[Result]) -> Verdict:
    """Return the gravest verdict: critical, then unknown, then warning."""
    return max((result.verdict for result in results), key=_SEVERITY.index, default=Verdict.OK)


def sorted_by_gravity(results: Iterable[Result]) -> tuple[Result, ...]:
    """Return the results, gravest first, else in their order."""
    return tuple(sorted(results, key=lambda result: -_SEVERITY.index(result.verdict)))


def shown(text: str) -> str:
    """Return a text fit for a plugin's line: printable, without the sign that ends its text."""
    return escape(text, TEXT_CHARACTERS).replace("|", "/")


def ago(seconds: float) -> str:
    """Return a span in words: `45 s`, `12 min`, `7 h`, `3 d`."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds // size))} {unit}"
    return f"{int(seconds // 86400)} d"
