"""A frozen dataclass that is quick to define, for values of which a process makes only few.

`dataclasses` generates and compiles six methods for each class, which takes half a millisecond. A
command that looks at the spool once defines forty classes, and that took a third of its time. Here
all classes share the methods; making and comparing a value takes longer in return.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def light_dataclass(record: type[T]) -> type[T]:
    """Make a class what `@dataclass(frozen=True, kw_only=True)` would; `slots` are missing."""
    made = dataclass(init=False, repr=False, eq=False)(record)
    for method in (__init__, __repr__, __eq__, __hash__, __setattr__, __delattr__):
        setattr(made, method.__name__, method)
    return made


def __init__(self: Any, **values: Any) -> None:  # noqa: N807 - a method of each class
    state = vars(self)
    for each in fields(self):
        if each.name in values:
            state[each.name] = values.pop(each.name)
        elif each.default_factory is not MISSING:
            state[each.name] = each.default_factory()
        elif each.default is not MISSING:
            state[each.name] = each.default
        else:
            raise TypeError(f"{type(self).__name__} needs {each.name}")
    if values:
        raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")


def __repr__(self: Any) -> str:  # noqa: N807
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def __eq__(self: Any, other: object) -> bool:  # noqa: N807
    return vars(self) == vars(other) if type(self) is type(other) else NotImplemented


def __hash__(self: Any) -> int:  # noqa: N807
    return hash(tuple(vars(self).values()))


def __setattr__(_self: Any, name: str, _value: object) -> None:  # noqa: N807
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def __delattr__(_self: Any, name: str) -> None:  # noqa: N807
    raise FrozenInstanceError(f"cannot delete field {name!r}")
