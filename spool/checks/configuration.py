"""The configuration's problems and warnings as results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.errors import ConfigProblem

_WARNING_HINT = "it works; the README says what the key means"


def check_config_problems(
    problems: Iterable[ConfigProblem], *, as_service: bool
) -> Iterator[CheckResult]:
    """Yield each problem.

    What we may not look at is not known to be wrong, unless we are (`as_service`) whom it must be
    open for.
    """
    for problem in problems:
        if problem.is_denied and not as_service:
            status, hint = CheckStatus.UNKNOWN, "run this as root or as the service's user"
        else:
            status, hint = CheckStatus.CRITICAL, problem.hint
        yield finding(status, "configuration", f"{problem.path}: {problem.problem}", hint)


def check_config_warnings(
    path: str, warnings: Iterable[str], *, strict: bool
) -> Iterator[CheckResult]:
    """Yield the verdict on a configuration without problems.

    `strict` makes each warning count: they are worth a look before jobs are reported, and nothing
    to wake anybody for.
    """
    found = tuple(warnings)
    if strict:
        for warning in found:
            yield finding(CheckStatus.WARNING, "configuration", warning, _WARNING_HINT)
    if not (strict and found):
        note = f", {len(found)} to look at: see `check --full`" if found else ""
        yield passed("configuration", f"{path} has no problems{note}")
