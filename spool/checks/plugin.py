"""Format results as the output of a monitoring plugin and as JSON.

First line `CC_SLURM_SYNC VERDICT - text | 'label'=value[UOM];warn;crit;min;max ...`, then one line
for each check (Monitoring Plugins Development Guidelines; the further lines are
the long output).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spool.checks.result import CheckResult, PerfData, by_severity, worst_status

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
    value = "U" if figure.value is None else f"{_number(figure.value)}{figure.unit}"
    range_ends = ":" if figure.lower_is_worse else ""
    limits = [
        "" if limit is None else _number(limit) + range_ends
        for limit in (figure.warning, figure.critical)
    ]
    return f"'{figure.label}'={value};{limits[0]};{limits[1]};{'' if figure.lower_is_worse else 0};"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
