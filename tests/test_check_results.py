"""Results of checks as the lines of a monitoring plugin and as JSON."""

from __future__ import annotations

import pytest

from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    PerfData,
    finding,
    passed,
    plugin_lines,
    result_lines,
    results_document,
    worst_status,
)

FINE = passed("runs", "2 waiting", PerfData(label="runs", value=2))
WARNED = finding(CheckStatus.WARNING, "token", "expires in 3 d", "make a new one")
LOST = finding(CheckStatus.UNKNOWN, "drain", "its state cannot be read", "run this as root")
BROKEN = finding(CheckStatus.CRITICAL, "cc-backend", "is halted", "put a new token there")


def test_results_without_problems_give_a_summary_with_figures() -> None:
    """The first line of the plugin is `CC_SLURM_SYNC OK - SUMMARY`, then `|` and the figures."""
    expected = ["CC_SLURM_SYNC OK - 2 waiting | 'runs'=2;;;0;", "[OK] runs: 2 waiting"]
    assert expected == plugin_lines([FINE], "2 waiting")


def test_the_first_line_names_the_most_severe_problems() -> None:
    """Critical results come before unknown ones, and unknown ones before warnings."""
    lines = plugin_lines([WARNED, LOST, BROKEN, FINE], "unused")
    text = (
        "CC_SLURM_SYNC CRITICAL - cc-backend: is halted; drain: its state cannot be read;"
        " token: expires in 3 d | 'runs'=2;;;0;"
    )
    assert text == lines[0]
    assert "[CRITICAL] cc-backend: is halted; put a new token there" == lines[1]


def test_further_problems_are_only_counted() -> None:
    """The first line names three problems; the number of the others follows (`and 2 more`)."""
    line = plugin_lines([WARNED, LOST, BROKEN, BROKEN, BROKEN], "unused")[0]
    assert line.endswith("; and 2 more")
    assert 2 == line.count("more") + line.count("CRITICAL -")


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([], CheckStatus.OK),
        ([FINE], CheckStatus.OK),
        ([FINE, WARNED], CheckStatus.WARNING),
        ([WARNED, LOST], CheckStatus.UNKNOWN),
        ([LOST, BROKEN, WARNED], CheckStatus.CRITICAL),
    ],
)
def test_the_worst_status_is_reported(results: list[CheckResult], verdict: CheckStatus) -> None:
    """A plugin has one exit code for all results."""
    assert verdict is worst_status(results)


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (PerfData(label="a", value=1.26, unit="s", warning=2, critical=3), "'a'=1.3s;2;3;0;"),
        (PerfData(label="a", value=5, unit="B", warning=9, lower_is_worse=True), "'a'=5B;9:;;;"),
    ],
)
def test_figures_are_written_in_the_format_of_plugins(figure: PerfData, shown: str) -> None:
    """Label, value, unit and limits; a limit for falling values ends with a colon."""
    assert f"CC_SLURM_SYNC OK - x | {shown}" == plugin_lines([passed("n", "t", figure)], "x")[0]


def test_any_text_stays_on_its_line() -> None:
    """Line breaks and `|`, which begins a plugin's figures, are replaced in texts and hints."""
    lines = result_lines([finding(CheckStatus.WARNING, "x", "a|b\n\x1b[31m", "c|d")])
    assert [r"[WARNING] x: a/b\x0a\x1b[31m; c/d"] == lines


def test_json_has_all_results_of_a_check() -> None:
    """Scripts read verdicts, texts, hints and figures from the JSON."""
    found = results_document(
        [WARNED, passed("token", "ok", PerfData(label="left", value=1, warning=2))]
    )
    assert ("WARNING", 1) == (found["verdict"], found["code"])
    assert ["expires in 3 d", "ok"] == [check["text"] for check in found["checks"]]
    assert "make a new one" == found["checks"][0]["hint"]
    figure = {"value": 1, "unit": "", "warning": 2, "critical": None}
    assert {"left": figure} == found["checks"][1]["figures"]


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (899.9, CheckStatus.OK),
        (900, CheckStatus.WARNING),
        (3599.9, CheckStatus.WARNING),
        (3600, CheckStatus.CRITICAL),
    ],
)
def test_a_limit_is_reached_at_its_own_value(seconds: float, verdict: CheckStatus) -> None:
    """An age of exactly 900 s is a warning, and one of exactly 3600 s is critical."""
    assert verdict is AgeLimits().status_at(seconds)
