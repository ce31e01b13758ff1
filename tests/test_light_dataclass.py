"""A light dataclass behaves as a frozen dataclass of keywords does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace
from typing import Any

import pytest

from spool.light_dataclass import light_dataclass


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


@dataclass(frozen=True, kw_only=True)
class Usual:
    """The same value, of the standard library."""

    name: str
    sizes: tuple[int, ...] = ()
    limits: dict[str, int] = field(default_factory=dict, repr=False)


def test_values_are_shown_as_those_of_the_library_are() -> None:
    """A field that is not to be shown (a secret) is not."""
    light, usual = (kind(name="a", limits={"b": 1}) for kind in (Light, Usual))

    assert repr(usual).replace("Usual", "Light") == repr(light)
    assert asdict(usual) == asdict(light)


def test_defaults_are_not_shared() -> None:
    """Each value gets a map of its own."""
    one, other = Light(name="a"), Light(name="a")
    one.limits["x"] = 1

    assert ({}, ()) == (other.limits, other.sizes)


@pytest.mark.parametrize("values", [{}, {"name": "a", "nam": "b"}])
def test_missing_and_unknown_fields_are_refused(values: dict[str, Any]) -> None:
    """As by a generated `__init__`."""
    for kind in (Light, Usual):
        with pytest.raises(TypeError, match=r"name|nam"):
            kind(**values)


def test_values_are_equal_by_their_fields_and_class() -> None:
    """Another value of a field, or another class, is another value."""
    one = Derived(name="a", sizes=(1,))

    assert one == Derived(name="a", sizes=(1,))
    assert one != replace(one, kind="y")
    assert one != Light(name="a", sizes=(1,))


def test_equal_values_have_one_hash() -> None:
    """They can be members of a set; a value with a map cannot, as usual."""
    one, other = (Light(name="a", limits=()) for _ in range(2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unhashable"):
        hash(Light(name="a"))

    assert {one} == {other}


def test_values_cannot_be_changed() -> None:
    """Neither set nor deleted."""
    value = Light(name="a")
    with pytest.raises(FrozenInstanceError):
        value.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del value.name


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_values_can_be_copied(again: Callable[[Light], Light]) -> None:
    """A copy is equal to its original."""
    assert Light(name="a", sizes=(1, 2)) == again(Light(name="a", sizes=(1, 2)))
