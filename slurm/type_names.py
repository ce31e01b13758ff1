"""The names of `typing` that only annotations need; loading `typing` takes 2 ms.

Type checkers see the real ones. A module whose annotations are read while the program runs (as
those of run files) imports `typing` itself.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = [
    "TYPE_CHECKING",
    "Any",
    "ClassVar",
    "NoReturn",
    "Protocol",
    "Self",
    "TextIO",
    "TypeVar",
    "dataclass_transform",
]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import (
        Any,
        ClassVar,
        NoReturn,
        Protocol,
        Self,
        TextIO,
        TypeVar,
        dataclass_transform,
    )
else:
    Any = ClassVar = NoReturn = Protocol = Self = TextIO = object

    def TypeVar(_name: str) -> type:  # noqa: N802 - the name in `typing`
        """Return `object` in place of a type variable."""
        return object

    def dataclass_transform(**_rules: object) -> Callable[[Callable], Callable]:
        """Return a decorator that changes nothing."""
        return lambda decorator: decorator
