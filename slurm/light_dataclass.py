"""Frozen dataclasses that are quick to define, because their classes share the methods.

`dataclasses` generates and compiles six methods for each class, which takes half a millisecond. A
command that looks at the spool once defines forty classes, and that took a third of its time. In a
drain, the methods of a hundred classes took 1.1 MiB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from functools import cache
from operator import attrgetter

from slurm.type_names import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def light_dataclass(record: type[T]) -> type[T]:
    """Turn a class into a dataclass, as `@dataclass(frozen=True, kw_only=True)` does.

    For classes of which a process makes only few instances: each of them has a `__dict__`.
    """
    made = _define(record, slots=False)
    made.__init__ = _dict_initializer(fields(made))
    finished: type[T] = made
    return finished


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def slotted_dataclass(record: type[T]) -> type[T]:
    """Turn a class into a dataclass, as `@dataclass(frozen=True, slots=True, kw_only=True)` does.

    For classes with many instances; neither `copy` nor `pickle` can copy these.
    """
    made = _define(record, slots=True)
    made.__init__ = _slots_initializer(made)
    finished: type[T] = made
    return finished


@cache
def getter(record: Any) -> Callable[[Any], Any]:
    """Return a function that reads all fields of a value as a tuple; a single field: its value."""
    names = [each.name for each in fields(record)]
    return attrgetter(*names) if names else lambda _value: ()  # attrgetter wants a name


def _define(record: type[T], *, slots: bool) -> Any:
    """Return a class with its fields and all methods except the constructor."""
    hints = record.__annotations__
    # `dataclass` would search each of these texts three times for the names of special types.
    record.__annotations__ = dict.fromkeys(hints, object)
    made: Any = dataclass(init=False, repr=False, eq=False, kw_only=True, slots=slots)(record)
    made.__annotations__ = hints
    for each in fields(made):
        each.type = hints.get(each.name, each.type)
    for name in ("__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"):
        setattr(made, name, getattr(_Methods, name))
    return made


def _dict_initializer(members: tuple[Any, ...]) -> Callable[..., None]:
    """Return the constructor of a class with these fields."""
    defaults = {each.name: each.default for each in members}
    others = [(each.name, each.default_factory) for each in members if each.default is MISSING]

    def __init__(self: Any, **values: Any) -> None:  # noqa: N807 - it becomes a method
        state = vars(self)
        state.update(defaults)
        state.update(values)
        _complete(self, state, defaults, others)

    return __init__


def _slots_initializer(made: Any) -> Callable[..., None]:
    """Return the constructor of a class with slots."""
    members = fields(made)
    defaults = {each.name: each.default for each in members}
    others = [(each.name, each.default_factory) for each in members if each.default is MISSING]
    setters = [getattr(made, each.name).__set__ for each in members]

    def __init__(self: Any, **values: Any) -> None:  # noqa: N807 - it becomes a method
        state = defaults | values  # in the order of the fields
        _complete(self, state, defaults, others)
        for put, value in zip(setters, state.values(), strict=True):
            put(self, value)

    return __init__


def _complete(
    value: Any, state: dict[str, Any], defaults: dict[str, Any], others: list[tuple[str, Any]]
) -> None:
    """Add the defaults of default factories; raise `TypeError` for unknown and missing fields."""
    if len(state) > len(defaults):
        unknown = ", ".join(name for name in state if name not in defaults)
        raise TypeError(f"{type(value).__name__} has no {unknown}")
    for name, factory in others:
        if state[name] is MISSING:
            if factory is MISSING:
                raise TypeError(f"{type(value).__name__} is missing {name}")
            state[name] = factory()


class _Methods:
    """The methods that all light and slotted dataclasses share."""

    def __repr__(self: Any) -> str:
        shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self: Any, other: Any) -> bool:
        kind: Any = type(self)
        values = getter(kind)
        return values(self) == values(other) if kind is type(other) else NotImplemented

    def __hash__(self: Any) -> int:
        kind: Any = type(self)
        return hash(getter(kind)(self))

    def __setattr__(self: Any, name: str, _value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self: Any, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")
