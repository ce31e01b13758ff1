"""The monitoring pages agree with the program: metrics, alerts, checks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from alert_rules import ROOT, alert_rules
from doc_pages import PAGES
from metrics_text import metrics_table

from ccbackend.outcomes import Outcome, Reason
from spool.preflight.hooks import HOOKS

MONITORING = (ROOT / "docs" / "monitoring.md").read_text()
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text()
PACKAGES = ("slurm", "ccbackend", "spool", "sweeper")
SOURCES = ("checks", "preflight", "commands")
HELPERS = {
    "name": {"events", "runs", "spool", "sweep", "drain", "log", "nodes", "jobs seen"}
    | {"accounting seen", "rights", "cc-backend", "cc-backend (starts)", "cc-backend (stops)"},
    "hook.option": {hook.option for hook in HOOKS},
    "result.name": set(),
}
"""Names of checks that a call passes in a variable, by the argument's text."""


def section(page: str, name: str) -> str:
    """Return the text between two marks of a page."""
    found = re.search(rf"<!-- {name}: [^>]*-->\n(.*?)<!-- end of {name} -->", page, re.DOTALL)
    assert found is not None
    return found[1]


def headings(page: str) -> set[str]:
    """Return the headings of a page; one may name several things."""
    lines = re.findall(r"^#{2,3} (.+)$", page, re.MULTILINE)
    return {name for line in lines for name in (line, *line.split(", "))}


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    lines = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", line.lower()).replace(" ", "-") for line in lines}


def test_the_table_of_metrics_is_that_of_the_program() -> None:
    """docs/monitoring.md has the output of `python tests/support/metrics_text.py`."""
    assert metrics_table() == section(MONITORING, "metrics")


def test_the_table_of_alerts_is_that_of_the_rules() -> None:
    """docs/monitoring.md lists names and severities in the order of the alert rules."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section(MONITORING, "alerts"), re.MULTILINE)

    assert [(name, rule["labels"]["severity"]) for name, rule in alert_rules().items()] == rows


def test_every_alert_has_its_section() -> None:
    """The runbook link of each alert leads to an existing section."""
    links = {
        rule["annotations"]["runbook_url"].partition("#")[2] for rule in alert_rules().values()
    }

    assert set(alert_rules()) <= headings(TROUBLESHOOTING)
    assert links <= anchors(TROUBLESHOOTING)


@pytest.mark.parametrize("reason", [each for each in Reason if each.outcome is Outcome.HALT])
def test_every_reason_for_halted_deliveries_is_documented(reason: Reason) -> None:
    """docs/troubleshooting.md has each reason that the label of the alert can have."""
    assert f"`{reason.name.lower()}`" in TROUBLESHOOTING


def check_names() -> Iterator[str]:
    """Yield the names of all checks, from the calls that make results."""
    for folder in SOURCES:
        for path in sorted((ROOT / "spool" / folder).glob("*.py")):
            yield from names_in(path)


def names_in(path: Path) -> Iterator[str]:
    """Yield the names of a module's checks."""
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            position = {"passed": 0, "finding": 1}.get(node.func.id)
            if position is not None:
                yield from names_of(node.args[position], constants)


def names_of(argument: ast.expr, constants: Mapping[str, object]) -> Iterator[str]:
    """Yield the names that an argument stands for."""
    text = ast.unparse(argument)
    if isinstance(argument, ast.Constant):
        yield str(argument.value)
    elif text in constants:
        yield str(constants[text])
    elif isinstance(argument, ast.JoinedStr):
        yield "source of ..."
    else:
        yield from HELPERS[text]


@pytest.mark.parametrize("name", sorted(set(check_names())))
def test_every_check_has_its_section(name: str) -> None:
    """docs/troubleshooting.md has a heading with the name of each check."""
    known = headings(TROUBLESHOOTING)

    assert name in known or (name.startswith("source of") and "source of ..." in known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_sections(page: Path) -> None:
    """Links within a page and to other pages are checked; those to the web are not."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        other = (page.parent / target) if target else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other.read_text()), (target, anchor)


def test_messages_name_pages_that_exist() -> None:
    """A path such as `docs/install.md` is right in the source tree and in the packages."""
    sources = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    named = {page for path in sources for page in re.findall(r"docs/[\w.-]+\.md", path.read_text())}

    assert {"docs/install.md", "docs/monitoring.md"} <= named
    assert [] == [page for page in sorted(named) if not (ROOT / page).exists()]
