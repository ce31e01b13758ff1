"""Find patterns that match the same host names, by means of sample names.

A sample is a name made from a pattern and is used only if the pattern matches it, so every reported
overlap is real; overlaps that the samples miss are found by comparing with the site's real hosts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

_SAMPLES = 64
_PIECE = re.compile(
    r"""
    (?P<class>\[\^?\]?[^\]]*\])
    | \((?:\?:)?(?P<words>[^()\\\[]*)\)
    | \\(?P<escaped>.)
    | (?P<mark>[\^$])
    | (?P<plain>.)
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_COUNT = re.compile(r"[*+?]|\{([0-9]*)[0-9,]*\}")
_CLASSES = {"d": "0", "w": "a", "s": " ", "b": "", "A": "", "Z": ""}
_LONGEST_COUNT = 16


def sample_names(pattern: str) -> tuple[str, ...]:
    """Return some names that a pattern matches; none if the pattern is too complex."""
    branches = [pattern] if "(" in pattern or "[" in pattern else pattern.split("|")
    options = itertools.chain.from_iterable(
        itertools.product(*_piece_texts(branch)) for branch in branches
    )
    names = ("".join(pieces) for pieces in itertools.islice(options, _SAMPLES))
    compiled = re.compile(pattern)
    return tuple(name for name in names if _NAME.fullmatch(name) and compiled.search(name))


def overlaps(patterns: Sequence[str], names: Iterable[str] = ()) -> Iterator[tuple[str, str, str]]:
    """Yield (first, second, name) for every two patterns that match a common name.

    The first pattern decides, because they are tried in order. `names` are real host names.
    """
    real = tuple(names)
    for first, second in itertools.combinations(patterns, 2):
        both = (re.compile(first), re.compile(second))
        for name in (*sample_names(second), *sample_names(first), *real):
            if all(compiled.search(name) for compiled in both):
                yield first, second, name
                break


def is_anchored(pattern: str) -> bool:
    """Return whether a pattern has anchors for begin and end of the name."""
    return pattern.startswith(("^", r"\A")) and pattern.endswith(("$", r"\Z"))


def _piece_texts(pattern: str) -> Iterator[tuple[str, ...]]:
    """Yield for each piece of a pattern the texts it may stand for."""
    position = 0
    while position < len(pattern):
        found = _PIECE.match(pattern, position)
        if found is None:  # a line break
            return
        position = found.end()
        texts = _texts(found)
        count = _COUNT.match(pattern, position)
        if count:
            position = count.end()
            times = min(int(count[1] or 1), _LONGEST_COUNT)
            texts = tuple(text * times for text in texts)
        yield texts


def _texts(piece: re.Match[str]) -> tuple[str, ...]:
    if piece["words"] is not None:
        return tuple(piece["words"].split("|"))
    if piece["class"] is not None:
        return (_class_member(piece["class"]),)
    if piece["escaped"] is not None:
        return (_CLASSES.get(piece["escaped"], piece["escaped"]),)
    if piece["mark"] is not None:
        return ("",)
    return ("0" if piece["plain"] == "." else piece["plain"],)


def _class_member(characters: str) -> str:
    """Return the first member of a class: of two overlapping ranges, one begins in the other."""
    inner = characters[1:-1].removeprefix("^")
    if characters.startswith("[^"):
        return next((c for c in "0a-" if c not in inner), "")
    return _CLASSES.get(inner[1:2], inner[1:2]) if inner.startswith("\\") else inner[:1]
