"""The configuration's problems and warnings as results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spool.checks.result import Result, Verdict, bad, good
from spool.errors import ConfigProblem

_LOOK = "it works; the README says what the key means"


def check_problems(problems: Iterable[ConfigProblem], *, as_service: bool) -> Iterator[Result]:
    """Yield each problem.

    What we may not look at is not known to be wrong, unless we are (`as_service`) whom it must be
    open for.
    """
    for problem in problems:
        if problem.problem.endswith("Permission denied") and not as_service:
            verdict, hint = Verdict.UNKNOWN, "run this as root or as the service's user"
        else:
            verdict, hint = Verdict.CRITICAL, problem.hint
        yield bad(verdict, "configuration", f"{problem.path}: {problem.problem}", hint)


def check_warnings(path: str, warnings: Iterable[str], *, strict: bool) -> Iterator[Result]:
    """Yield the verdict on a configuration without problems.

    `strict` makes each warning count: they are worth a look before jobs are reported, and nothing
    to wake anybody for.
    """
    found = tuple(warnings)
    if strict:
        for warning in found:
            yield bad(Verdict.WARNING, "configuration", warning, _LOOK)
    if not (strict and found):
        told = f", {len(found)} to look at: see `check --full`" if found else ""
        yield good("configuration", f"{path} has no problems{told}")
