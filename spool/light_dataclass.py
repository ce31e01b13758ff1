"""A frozen dataclass that is quick to define, for values of which a process makes only few.

`dataclasses` generates and compiles six methods for each class, which takes half a millisecond. A
command that looks at the spool once defines forty classes, and that took a third of its time. Here
all classes share the methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields

from spool.type_names import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def light_dataclass(record: type[T]) -> type[T]:
    """Make a class what `@dataclass(frozen=True, kw_only=True)` would; `slots` are missing."""
    made: Any = dataclass(init=False, repr=False, eq=False)(record)
    for method in (__repr__, __eq__, __hash__, __setattr__, __delattr__):
        setattr(made, method.__name__, method)
    made.__init__ = _initializer(fields(made))
    finished: type[T] = made
    return finished


def _initializer(members: tuple[Any, ...]) -> Callable[..., None]:
    """Return the constructor of a class with these fields."""
    # In the order of the fields, which is that of all values: `__hash__` depends on it.
    defaults = {each.name: each.default for each in members}
    others = [each for each in members if each.default is MISSING]

    def __init__(self: Any, **values: Any) -> None:  # noqa: N807
        state = vars(self)
        state.update(defaults)
        state.update(values)
        if len(state) > len(defaults):
            unknown = ", ".join(name for name in values if name not in defaults)
            raise TypeError(f"{type(self).__name__} has no {unknown}")
        for each in others:
            if state[each.name] is not MISSING:
                continue
            if each.default_factory is not MISSING:
                state[each.name] = each.default_factory()
            else:
                raise TypeError(f"{type(self).__name__} needs {each.name}")

    return __init__


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
