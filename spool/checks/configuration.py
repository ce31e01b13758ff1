"""Check the configuration: its problems and warnings as results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.errors import ConfigProblem
from spool.formatting import pluralize

_WARNING_HINT = "see the key's description in the README"


def check_config_problems(
    problems: Iterable[ConfigProblem], *, as_service: bool
) -> Iterator[CheckResult]:
    """Yield a result for each problem.

    A file that we may not read is only *unknown*, unless we run as the service (`as_service`),
    which must be able to read it.
    """
    for problem in problems:
        if problem.is_denied and not as_service:
            status, hint = CheckStatus.UNKNOWN, "run this as root or as the service user"
        else:
            status, hint = CheckStatus.CRITICAL, problem.hint
        yield finding(status, "configuration", f"{problem.path}: {problem.problem}", hint)


def check_config_warnings(
    path: str, warnings: Iterable[str], *, strict: bool
) -> Iterator[CheckResult]:
    """Yield the result of a configuration without problems.

    `strict` makes each warning a result of its own: warnings should be read before jobs are
    reported, but must not raise an alarm later.
    """
    found = tuple(warnings)
    if strict:
        for warning in found:
            yield finding(CheckStatus.WARNING, "configuration", warning, _WARNING_HINT)
    if not (strict and found):
        note = f", {pluralize(len(found), 'warning')}: see `check --full`" if found else ""
        yield passed("configuration", f"{path} has no problems{note}")
