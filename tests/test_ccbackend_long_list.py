"""A long list is decoded in parts: completely, or not at all."""

from __future__ import annotations

import json

import pytest

from ccbackend.long_list import split_items

NAMES = ("a", "},{", '"items":[', "]", "\\\\", "e,f")
ITEMS = [{"id": i, "name": name, "more": None} for i, name in enumerate(NAMES)]


@pytest.mark.parametrize("part_characters", [1, 40, 1000])
@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n", " : ")])
def test_a_long_list_split_into_parts_has_all_items(
    part_characters: int, separators: tuple[str, str]
) -> None:
    """The size of the parts, white space and brackets in names make no difference."""
    plain = [item for item in ITEMS if item["name"] != "},{"]
    text = json.dumps({"count": 5, "items": plain}, separators=separators)

    rest, parts = split_items(text, ("id", "name"), part_characters)

    assert json.loads(rest) == {"count": 5, "items": []}
    assert [row for part in parts for row in part] == [(i["id"], i["name"]) for i in plain]


def test_a_list_split_inside_a_name_is_an_error() -> None:
    """A name contains `},{`, where the list is split; no incomplete item is returned."""
    _, parts = split_items(json.dumps({"items": ITEMS}), ("id", "name"), 1)

    with pytest.raises(ValueError, match="Unterminated string"):
        list(parts)


@pytest.mark.parametrize("text", ['{"items":[{"id":1}]}', '{"items":[{"id":1,"name":{"x":2}}]}'])
def test_an_item_of_another_shape_makes_the_list_invalid(text: str) -> None:
    """An item that lacks a field or has an object as a value raises an error."""
    with pytest.raises(KeyError):
        list(split_items(text, ("id", "name"))[1])


@pytest.mark.parametrize("text", ["[]", '{"items":null}', '{"items":[', '{"items":[]}'])
def test_an_answer_without_items_has_no_parts(text: str) -> None:
    """If `items` is missing, empty or unfinished, the caller gets the whole answer to check."""
    rest, parts = split_items(text, ("id", "name"))

    assert (text, []) == (rest, list(parts))


def test_an_array_after_the_items_is_an_error() -> None:
    """The last `]` of the answer counts as the end of `items`."""
    _, parts = split_items('{"items":[{"id":1,"name":"a"}],"more":[2]}', ("id", "name"))

    with pytest.raises(ValueError, match="Extra data"):
        list(parts)
