"""The result of a check, and results as the output of a monitoring plugin and as JSON.

Verdicts and their numbers are those of monitoring plugins. `passed` and `finding` escape all texts,
so none of them can break a plugin's line or a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from enum import IntEnum
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from slurm.type_names import Any
from spool.errors import ACCESS_HINT
from spool.escaping import escape

TEXT_CHARACTERS = 400


class CheckStatus(IntEnum):
    """The exit codes of monitoring plugins; UNKNOWN: the check could not be run."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_SEVERITY = (CheckStatus.OK, CheckStatus.WARNING, CheckStatus.UNKNOWN, CheckStatus.CRITICAL)


@light_dataclass
class PerfData:
    """One number of a result; `unit` is `s`, `B` or nothing.

    A value at or above a limit is bad; if `lower_is_worse` is set, a value below it.
    """

    label: str
    value: float
    unit: str = ""
    warning: float | None = None
    critical: float | None = None
    lower_is_worse: bool = False


@light_dataclass
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


@light_dataclass
class AgeLimits:
    """The ages in seconds from which waiting is a warning or critical."""

    warning_seconds: float = 900.0
    critical_seconds: float = 3600.0

    def status_at(self, seconds: float) -> CheckStatus:
        """Return the status of an age."""
        if seconds >= self.critical_seconds:
            return CheckStatus.CRITICAL
        return CheckStatus.WARNING if seconds >= self.warning_seconds else CheckStatus.OK

    def perfdata(self, label: str, seconds: float) -> PerfData:
        """Return an age as performance data with these limits."""
        return PerfData(
            label=label,
            value=max(0.0, seconds),
            unit="s",
            warning=self.warning_seconds,
            critical=self.critical_seconds,
        )


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


def unreadable(name: str, path: Path, error: Exception) -> CheckResult:
    """Return the result UNKNOWN for a file or directory that cannot be read."""
    text = f"{path} cannot be read: {error}"
    return finding(CheckStatus.UNKNOWN, name, text, ACCESS_HINT)


def worst_status(results: Iterable[CheckResult]) -> CheckStatus:
    """Return the most severe status: critical, then unknown, then warning."""
    return max((result.status for result in results), key=_SEVERITY.index, default=CheckStatus.OK)


def by_severity(results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the results, most severe first; equally severe ones stay in their order."""
    return tuple(sorted(results, key=lambda result: -_SEVERITY.index(result.status)))


def plugin_text(text: str) -> str:
    """Return a text for a plugin's line: short, printable, without `|`, which ends the text."""
    return escape(text, TEXT_CHARACTERS).replace("|", "/")


# First line `CC_SLURM_SYNC VERDICT - text | 'label'=value[UOM];warn;crit;min;max ...`, then one
# line for each check (Monitoring Plugins Development Guidelines; the further lines are the long
# output).
SERVICE_NAME = "CC_SLURM_SYNC"
MAX_SHOWN_PROBLEMS = 3


def plugin_lines(results: Sequence[CheckResult], summary: str) -> list[str]:
    """Return the plugin's lines; `summary` is the text of the first one when all checks pass."""
    status = worst_status(results)
    grave = [result for result in by_severity(results) if not result.is_ok]
    text = "; ".join(f"{result.name}: {result.text}" for result in grave[:MAX_SHOWN_PROBLEMS])
    if len(grave) > MAX_SHOWN_PROBLEMS:
        text += f"; and {len(grave) - MAX_SHOWN_PROBLEMS} more"
    first = f"{SERVICE_NAME} {status.name} - {text or summary}"
    perfdata = " ".join(_perfdata_text(figure) for result in results for figure in result.perfdata)
    if perfdata:
        first += f" | {perfdata}"
    return [first, *result_lines(results)]


def result_lines(results: Iterable[CheckResult]) -> list[str]:
    """Return one line for each check with its hint, most severe first."""
    return [
        f"[{result.status.name}] {result.name}: {result.text}"
        + (f"; {result.hint}" if result.hint else "")
        for result in by_severity(results)
    ]


def results_document(results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return the results as `{"verdict", "code", "checks": [{"name", "verdict", ...}]}`."""
    status = worst_status(results)
    return {
        "verdict": status.name,
        "code": status.value,
        "checks": [_result_document(result) for result in results],
    }


def _result_document(result: CheckResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "verdict": result.status.name,
        "text": result.text,
        "hint": result.hint,
        "figures": {
            figure.label: {
                "value": figure.value,
                "unit": figure.unit,
                "warning": figure.warning,
                "critical": figure.critical,
            }
            for figure in result.perfdata
        },
    }


def _perfdata_text(figure: PerfData) -> str:
    value = f"{_number(figure.value)}{figure.unit}"
    range_ends = ":" if figure.lower_is_worse else ""
    limits = [
        "" if limit is None else _number(limit) + range_ends
        for limit in (figure.warning, figure.critical)
    ]
    return f"'{figure.label}'={value};{limits[0]};{limits[1]};{'' if figure.lower_is_worse else 0};"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
