"""Text of other programs is escaped for a log, a terminal or a dead letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.escaping import MAX_SHOWN_CHARACTERS, escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("job 5 ~", "job 5 ~"),
        ("a\nb\rc", r"a\x0ab\x0dc"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x7f\0", r"\x7f\x00"),
        ("ü", r"\xc3\xbc"),
        ("\u202e", r"\xe2\x80\xae"),
        ("\udcff", r"\xed\xb3\xbf"),
    ],
)
def test_only_printable_ascii_is_shown_as_it_is(text: str, shown: str) -> None:
    """All other characters become the bytes of their UTF-8."""
    assert shown == escape(text)


@given(st.text(st.characters(exclude_categories=())), st.integers(3, 300))
def test_any_text_becomes_printable_ascii_within_the_limit(text: str, limit: int) -> None:
    """The texts are random; the limits are 3 to 300 characters."""
    shown = escape(text, limit)

    assert (True, True) == (len(shown) <= limit, all(" " <= letter <= "~" for letter in shown))


@pytest.mark.parametrize(
    ("length", "end"), [(MAX_SHOWN_CHARACTERS, "x"), (MAX_SHOWN_CHARACTERS + 1, ".")]
)
def test_long_text_is_cut_with_three_dots(length: int, end: str) -> None:
    """A text of exactly MAX_SHOWN_CHARACTERS is shown completely."""
    assert (MAX_SHOWN_CHARACTERS, end) == (len(escape("x" * length)), escape("x" * length)[-1])
