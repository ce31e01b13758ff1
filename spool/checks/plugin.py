"""Results as a monitoring plugin prints them, and as JSON.

First line `CC_SLURM_SYNC VERDICT - text | 'label'=value[UOM];warn;crit;min;max ...`, then one line
for each check (Monitoring Plugins Development Guidelines; the further lines are
the long output).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spool.checks.result import Figure, Result, sorted_by_gravity, worst

NAME = "CC_SLURM_SYNC"
SHOWN_PROBLEMS = 3


def plugin_lines(results: Sequence[Result], summary: str) -> list[str]:
    """Return the plugin's lines; `summary` is the text of the first one when all is well."""
    verdict = worst(results)
    grave = [result for result in sorted_by_gravity(results) if not result.is_well]
    text = "; ".join(f"{result.name}: {result.text}" for result in grave[:SHOWN_PROBLEMS])
    if len(grave) > SHOWN_PROBLEMS:
        text += f"; and {len(grave) - SHOWN_PROBLEMS} more"
    first = f"{NAME} {verdict.name} - {text or summary}"
    figures = " ".join(_figure(figure) for result in results for figure in result.figures)
    if figures:
        first += f" | {figures}"
    return [first, *result_lines(results)]


def result_lines(results: Iterable[Result]) -> list[str]:
    """Return one line for each check, gravest first, with what to do."""
    return [
        f"[{result.verdict.name}] {result.name}: {result.text}"
        + (f"; {result.hint}" if result.hint else "")
        for result in sorted_by_gravity(results)
    ]


def document(results: Sequence[Result]) -> dict[str, Any]:
    """Return the results as `{"verdict", "code", "checks": [{"name", "verdict", ...}]}`."""
    verdict = worst(results)
    return {
        "verdict": verdict.name,
        "code": verdict.value,
        "checks": [_plain(result) for result in results],
    }


def _plain(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "verdict": result.verdict.name,
        "text": result.text,
        "hint": result.hint,
        "figures": {
            figure.label: {
                "value": figure.value,
                "unit": figure.unit,
                "warning": figure.warning,
                "critical": figure.critical,
            }
            for figure in result.figures
        },
    }


def _figure(figure: Figure) -> str:
    value = "U" if figure.value is None else f"{_number(figure.value)}{figure.unit}"
    range_ends = ":" if figure.falling else ""
    limits = [
        "" if limit is None else _number(limit) + range_ends
        for limit in (figure.warning, figure.critical)
    ]
    return f"'{figure.label}'={value};{limits[0]};{limits[1]};{'' if figure.falling else 0};"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
