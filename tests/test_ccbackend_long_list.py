"""A long list is decoded in parts: completely, or not at all."""

from __future__ import annotations

import json

import pytest

from ccbackend.long_list import split_items

NAMES = ("a", "},{", '"items":[', "]", "\\\\", "e,f")
ITEMS = [{"id": i, "name": name, "more": None} for i, name in enumerate(NAMES)]


@pytest.mark.parametrize("part_characters", [1, 40, 1000])
@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n", " : ")])
def test_parts_have_all_items_wherever_they_are_cut(
    part_characters: int, separators: tuple[str, str]
) -> None:
    """White space and JSON marks inside strings make no difference."""
    plain = [item for item in ITEMS if item["name"] != "},{"]
    text = json.dumps({"count": 5, "items": plain}, separators=separators)

    rest, parts = split_items(text, ("id", "name"), part_characters)

    assert json.loads(rest) == {"count": 5, "items": []}
    assert [row for part in parts for row in part] == [(i["id"], i["name"]) for i in plain]


def test_a_cut_inside_a_text_is_an_error() -> None:
    """An incomplete item must not be returned."""
    _, parts = split_items(json.dumps({"items": ITEMS}), ("id", "name"), 1)

    with pytest.raises(ValueError, match="Unterminated string"):
        list(parts)


@pytest.mark.parametrize("text", ['{"items":[{"id":1}]}', '{"items":[{"id":1,"name":{"x":2}}]}'])
def test_an_object_of_another_shape_is_an_error(text: str) -> None:
    """The whole list is unknown then."""
    with pytest.raises(KeyError):
        list(split_items(text, ("id", "name"))[1])


@pytest.mark.parametrize("text", ["[]", '{"items":null}', '{"items":[', '{"items":[]}'])
def test_without_items_there_are_no_parts(text: str) -> None:
    """The rest is the whole answer; the caller has to check it."""
    rest, parts = split_items(text, ("id", "name"))

    assert (text, []) == (rest, list(parts))


def test_an_array_behind_the_items_is_an_error() -> None:
    """The last bracket in the text counts as the end of the items."""
    _, parts = split_items('{"items":[{"id":1,"name":"a"}],"more":[2]}', ("id", "name"))

    with pytest.raises(ValueError, match="Extra data"):
        list(parts)
