"""The result of one check: a name, a status, a text, what to do about it, and figures.

Verdicts and their numbers are those of monitoring plugins. Texts are escaped where they are made,
so none of them can break a plugin's line or a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from spool.escaping import escape

TEXT_CHARACTERS = 400


class CheckStatus(IntEnum):
    """Exit codes of monitoring plugins; UNKNOWN says that it could not be found out."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_SEVERITY = (CheckStatus.OK, CheckStatus.WARNING, CheckStatus.UNKNOWN, CheckStatus.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfData:
    """One number of a result; `unit` is `s`, `B` or nothing, `value` None is not known.

    Values from a limit on are bad; where `lower_is_worse` is set, values below it.
    """

    label: str
    value: float | None
    unit: str = ""
    warning: float | None = None
    critical: float | None = None
    lower_is_worse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found. `hint` says what to do and is empty where there is nothing to do."""

    name: str
    status: CheckStatus
    text: str
    hint: str = ""
    perfdata: tuple[PerfData, ...] = field(default=())

    @property
    def is_ok(self) -> bool:
        """Return whether there is nothing to do."""
        return self.status is CheckStatus.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeLimits:
    """From which age on a waiting thing is a warning, and from which critical; seconds."""

    warning_seconds: float = 900.0
    critical_seconds: float = 3600.0

    def status_at(self, seconds: float) -> CheckStatus:
        """Return the verdict on an age."""
        if seconds >= self.critical_seconds:
            return CheckStatus.CRITICAL
        return CheckStatus.WARNING if seconds >= self.warning_seconds else CheckStatus.OK


def passed(name: str, text: str, *perfdata: PerfData) -> CheckResult:
    """Return the result of a check that found nothing wrong."""
    return CheckResult(name=name, status=CheckStatus.OK, text=plugin_text(text), perfdata=perfdata)


def finding(
    status: CheckStatus, name: str, text: str, hint: str, *perfdata: PerfData
) -> CheckResult:
    """Return the result of a check that found something to do."""
    return CheckResult(
        name=name, status=status, text=plugin_text(text), hint=plugin_text(hint), perfdata=perfdata
    )


def worst_status(results: Iterable[CheckResult]) -> CheckStatus:
    """Return the gravest verdict: critical, then unknown, then warning."""
    return max((result.status for result in results), key=_SEVERITY.index, default=CheckStatus.OK)


def by_severity(results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the results, gravest first, else in their order."""
    return tuple(sorted(results, key=lambda result: -_SEVERITY.index(result.status)))


def plugin_text(text: str) -> str:
    """Return a text fit for a plugin's line: printable, without the sign that ends its text."""
    return escape(text, TEXT_CHARACTERS).replace("|", "/")
