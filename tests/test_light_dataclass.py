"""A light dataclass behaves like a frozen keyword-only dataclass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from slurm.light_dataclass import light_dataclass, slotted_dataclass


@light_dataclass
class Light:
    """A value."""

    name: str
    sizes: tuple[int, ...] = ()
    limits: dict[str, int] = field(default_factory=dict, repr=False)


@light_dataclass
class Derived(Light):
    """A value with one more field."""

    kind: str = "x"


@slotted_dataclass
class Slotted:
    """The same value, with slots."""

    name: str
    sizes: tuple[int, ...] = ()
    limits: dict[str, int] = field(default_factory=dict, repr=False)


@light_dataclass
class Bare:
    """A value without fields, as a query that has no parameters."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """The same value, of the standard library."""

    name: str
    sizes: tuple[int, ...] = ()
    limits: dict[str, int] = field(default_factory=dict, repr=False)


BOTH = pytest.mark.parametrize("kind", [Light, Slotted])
Kind = type[Light] | type[Slotted]


@BOTH
def test_repr_and_asdict_are_those_of_a_dataclass(kind: Kind) -> None:
    """A field with `repr=False` (a secret) is not shown."""
    light, usual = (each(name="a", limits={"b": 1}) for each in (kind, Usual))

    assert repr(usual).replace("Usual", kind.__name__) == repr(light)
    assert asdict(usual) == asdict(light)


@BOTH
def test_fields_are_those_of_a_dataclass(kind: Kind) -> None:
    """Names and annotations are equal; annotations are texts."""
    usual = [(each.name, each.type) for each in fields(Usual)]

    assert usual == [(each.name, each.type) for each in fields(kind)]
    assert Usual.__annotations__ == kind.__annotations__


@BOTH
def test_defaults_are_not_shared(kind: Kind) -> None:
    """Each object gets a dict of its own for a field with `default_factory=dict`."""
    one, other = kind(name="a"), kind(name="a")
    one.limits["x"] = 1

    assert ({}, ()) == (other.limits, other.sizes)


@pytest.mark.parametrize("values", [{}, {"name": "a", "nam": "b"}])
def test_missing_and_unknown_fields_are_refused(values: dict[str, Any]) -> None:
    """The TypeError is that of the `__init__` of a standard dataclass."""
    for kind in (Light, Slotted, Usual):
        with pytest.raises(TypeError, match=r"name|nam"):
            kind(**values)


def test_values_are_equal_by_their_fields_and_class() -> None:
    """Values differ if a field or the class differs."""
    one = Derived(name="a", sizes=(1,))

    assert one == Derived(name="a", sizes=(1,))
    assert one != replace(one, kind="y")
    assert one != Light(name="a", sizes=(1,))


def test_values_with_slots_are_equal_by_their_fields_and_class() -> None:
    """A value with slots has no `__dict__`, and is unequal to a value of another class."""
    one = Slotted(name="a", sizes=(1,))
    light: Any = Light(name="a", sizes=(1,))

    assert one == replace(Slotted(name="b", sizes=(1,)), name="a")
    assert one != light
    assert not hasattr(one, "__dict__")


def test_values_without_fields_are_equal() -> None:
    """A value without fields is unequal to a value of another class."""
    light: Any = Light(name="a")

    assert {Bare()} == {Bare(), Bare()}
    assert Bare() != light


@BOTH
def test_equal_values_have_one_hash(kind: Kind) -> None:
    """Equal values are one member of a set; a value that contains a dict cannot be hashed."""
    one, other = (kind(name="a", limits=()) for _ in range(2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unhashable"):
        hash(kind(name="a"))

    assert {one} == {other}


@BOTH
def test_values_cannot_be_changed(kind: Kind) -> None:
    """A field can neither be set nor deleted."""
    value = kind(name="a")
    with pytest.raises(FrozenInstanceError):
        value.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del value.name


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_values_can_be_copied(again: Callable[[Light], Light]) -> None:
    """A copy is equal to its original."""
    assert Light(name="a", sizes=(1, 2)) == again(Light(name="a", sizes=(1, 2)))
