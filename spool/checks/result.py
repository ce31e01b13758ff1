"""The result of one check: name, status, text, hint, and performance data.

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
    """The exit codes of monitoring plugins; UNKNOWN: the check could not be made."""

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
    """The result of one check. `hint` says what to do, "" if there is nothing to do."""

    name: str
    status: CheckStatus
    text: str
    hint: str = ""
    perfdata: tuple[PerfData, ...] = field(default=())

    @property
    def is_ok(self) -> bool:
        """Return whether the check passed."""
        return self.status is CheckStatus.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeLimits:
    """The ages from which on waiting is a warning or critical; seconds."""

    warning_seconds: float = 900.0
    critical_seconds: float = 3600.0

    def status_at(self, seconds: float) -> CheckStatus:
        """Return the status of an age."""
        if seconds >= self.critical_seconds:
            return CheckStatus.CRITICAL
        return CheckStatus.WARNING if seconds >= self.warning_seconds else CheckStatus.OK


def passed(name: str, text: str, *perfdata: PerfData) -> CheckResult:
    """Return the result of a check that passed."""
    return CheckResult(name=name, status=CheckStatus.OK, text=plugin_text(text), perfdata=perfdata)


def finding(
    status: CheckStatus, name: str, text: str, hint: str, *perfdata: PerfData
) -> CheckResult:
    """Return the result of a check that did not pass."""
    return CheckResult(
        name=name, status=status, text=plugin_text(text), hint=plugin_text(hint), perfdata=perfdata
    )


def worst_status(results: Iterable[CheckResult]) -> CheckStatus:
    """Return the most severe status: critical, then unknown, then warning."""
    return max((result.status for result in results), key=_SEVERITY.index, default=CheckStatus.OK)


def by_severity(results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the results, most severe first, else in their order."""
    return tuple(sorted(results, key=lambda result: -_SEVERITY.index(result.status)))


def plugin_text(text: str) -> str:
    """Return a text for a plugin's line: printable, without the `|` that ends the text."""
    return escape(text, TEXT_CHARACTERS).replace("|", "/")
