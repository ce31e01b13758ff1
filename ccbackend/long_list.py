"""Decode the `items` of a long answer in parts, without a Python call for each item.

A listing may hold 100 000 jobs. All their objects at once would take four times the memory of the
text; here only the values that the caller keeps of each part stay in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from operator import itemgetter

_ITEMS = re.compile(r'"items"\s*:\s*\[')
_NEXT_ITEM = re.compile(r"\}(\s*,\s*)\{")
_PART_CHARACTERS = 1 << 18


def split_items(
    text: str, fields: tuple[str, ...], part_characters: int = _PART_CHARACTERS
) -> tuple[str, Iterator[list[object]]]:
    """Return an answer with an empty list in place of its items, and the items in parts.

    Each object becomes a tuple of the values of `fields`, at least two, while it is decoded. The
    parts raise ValueError or KeyError where the items are no list of objects with these fields.
    """
    found = _ITEMS.search(text)
    if found is None:
        return text, iter(())
    # The last bracket must be theirs: where an array follows them, the last part is no JSON.
    begin, end = found.end(), max(found.end(), text.rfind("]"))
    decode = json.JSONDecoder(object_hook=itemgetter(*fields)).decode
    marks = _marks(text, (begin, end), part_characters)
    return text[:begin] + text[end:], (decode(f"[{text[a:b]}]") for a, b in marks)


def _marks(text: str, span: tuple[int, int], part_characters: int) -> Iterator[tuple[int, int]]:
    """Yield the position in the text where each part begins and where it ends."""
    begin, end = span
    while begin < end:
        # A mark inside a string is never taken for the end of an item: both parts would be no JSON.
        mark = _NEXT_ITEM.search(text, begin + part_characters, end)
        stop, following = mark.span(1) if mark else (end, end)
        yield begin, stop
        begin = following
