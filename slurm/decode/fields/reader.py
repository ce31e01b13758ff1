"""Reads the fields of a record; an error names the field that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from slurm.decode.fields.scalars import digits, unexpected
from slurm.errors import excerpt

T = TypeVar("T")


class FieldError(ValueError):
    """A field that cannot be read; the message begins with its path: "time.start: ..."."""

    def __init__(self, field: str, reason: object) -> None:
        super().__init__(f"{field}: {reason}")


class FieldReader:
    """The fields of one record of JSON or of a text listing, with the path to it.

    The path is built only for messages: an answer may hold a million records.
    """

    __slots__ = ("_fields", "_parent", "_place")

    def __init__(
        self, fields: Mapping[str, Any], parent: FieldReader | None = None, place: str = ""
    ) -> None:
        self._fields = fields
        self._parent = parent
        self._place = place

    def read(self, name: str, parse: Callable[[Any], T]) -> T:
        """Return a field's value as converted by `parse`, which gets None for a missing field.

        Raises:
            FieldError: `parse` refuses the value.
        """
        try:
            return parse(self._fields.get(name))
        except ValueError as error:
            raise FieldError(self.path_of(name), error) from error

    def required(self, name: str, parse: Callable[[Any], T | None]) -> T:
        """Return the value of a field that must be there.

        Raises:
            FieldError: it is missing, or cannot be read.
        """
        found = self.read(name, parse)
        if found is None:
            raise FieldError(self.path_of(name), "it is missing")
        return found

    def part(self, name: str) -> FieldReader:
        """Return the record in a field; an empty record if the field is null or missing.

        Raises:
            FieldError: it is not a record.
        """
        value = self._fields.get(name)
        return self._record({} if value is None else value, name)

    def parts(self, name: str, *, is_required: bool = False) -> list[FieldReader]:
        """Return the records in a list; [] if it is null or missing and not required.

        Raises:
            FieldError: it is not a list of records.
        """
        items = self._fields.get(name)
        if items is None and not is_required:
            return []
        if not isinstance(items, list):
            raise FieldError(self.path_of(name), unexpected("a list", items))
        return [self._record(item, name, place) for place, item in enumerate(items)]

    def numbered(self) -> list[tuple[int, FieldReader]]:
        """Return the records whose names are numbers, each with its number, ascending.

        Raises:
            FieldError: a name is not a number, or a field is not a record.
        """
        return [(index, self.part(name)) for index, name in self._by_index()]

    def indices(self) -> tuple[int, ...]:
        """Return the names of the fields, which are numbers, ascending.

        Raises:
            FieldError: a name is not a number.
        """
        return tuple(index for index, _ in self._by_index())

    def _by_index(self) -> list[tuple[int, str]]:
        found = [(digits(name), name) for name in self._fields]
        for index, name in found:
            if index is None:
                raise FieldError(
                    self.path_of(excerpt(name)), "expected an object whose keys are numbers"
                )
        return sorted((index, name) for index, name in found if index is not None)

    def _record(self, value: Any, name: str, place: int | None = None) -> FieldReader:
        here = name if place is None else f"{name}[{place}]"
        if not isinstance(value, dict):
            raise FieldError(self.path_of(here), unexpected("a JSON object", value))
        return FieldReader(value, self, here)

    def path_of(self, name: str) -> str:
        """Return the full path of a field, such as `time.start`."""
        return name if self._parent is None else f"{self._parent.path_of(self._place)}.{name}"
