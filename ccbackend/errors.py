"""Errors that leave this package; failed requests are no errors but classified replies."""

from __future__ import annotations


class CcBackendError(Exception):
    """Root of this package's errors."""


class PayloadError(CcBackendError):
    """Facts from which no acceptable request can be made: set aside, never sent.

    `problems` names each of them, for the dead letter.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class TokenError(CcBackendError):
    """The token file cannot be used: `path`, what is wrong, what to do. Never the token itself.

    `is_denied` says that a right is missing, or is granted to too many.
    """

    def __init__(self, path: str, problem: str, hint: str, *, is_denied: bool = False) -> None:
        super().__init__(f"{path}: {problem}; {hint}")
        self.path = path
        self.problem = problem
        self.hint = hint
        self.is_denied = is_denied


class UrlError(CcBackendError):
    """The base URL of the server cannot be used: what is wrong, what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem}; {hint}")
        self.problem = problem
        self.hint = hint
