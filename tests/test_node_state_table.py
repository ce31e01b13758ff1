"""Every base state with the flags of Slurm's source, against the table of the mapping.

The words are those of `node_states` and `node_state_flags` (`src/common/slurm_protocol_defs.c`, the
text of scontrol) and of `NODE_STATES` (`src/plugins/data_parser/*/parsers.c`, JSON).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccbackend.node_states import KNOWN_WORDS, node_condition
from slurm.decode.node_states import state_words

BASES = ("DOWN", "IDLE", "ALLOCATED", "ERROR", "MIXED", "FUTURE", "UNKNOWN")
_COMMON = (
    "CLOUD COMPLETING DRAIN INVALID_REG FAIL MAINTENANCE POWER_DOWN POWER_UP POWERED_DOWN"
    " REBOOT_REQUESTED REBOOT_ISSUED RESERVED RESUME NOT_RESPONDING PLANNED POWERING_UP"
    " POWERING_DOWN"
)
TEXT_FLAGS = {
    "21.08": f"{_COMMON} DYNAMIC PERFCTRS",
    "22.05": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM PERFCTRS",
    "23.02": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM PERFCTRS",
    "23.11": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM PERFCTRS",
    "24.05": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM BLOCKED",
    "24.11": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM BLOCKED",
    "25.05": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM BLOCKED EXTERNAL",
    "25.11": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM BLOCKED EXTERNAL",
    "26.05": f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM BLOCKED EXTERNAL",
}
_JSON = f"{_COMMON} DYNAMIC_FUTURE DYNAMIC_NORM UNDRAIN REBOOT_CANCELED POWER_DRAIN"
JSON_FLAGS = {
    "23.02": f"{_JSON} PERFCTRS",
    "23.11": f"{_JSON} PERFCTRS",
    "24.05": _JSON,
    "24.11": _JSON,
    "25.05": _JSON,
    "25.11": f"{_JSON} BLOCKED EXTERNAL",
    "26.05": f"{_JSON} BLOCKED EXTERNAL POWER_DOWN_ASAP POWER_DOWN_FORCE",
}
ALL_FLAGS = sorted({flag for flags in (TEXT_FLAGS | JSON_FLAGS).values() for flag in flags.split()})
_OUT = {"DRAIN", "FAIL", "INVALID_REG"}
_POWER = {
    *("POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN", "POWERING_UP", "POWER_UP"),
    *("POWER_DRAIN", "POWER_DOWN_ASAP", "POWER_DOWN_FORCE"),
}
_FREE = {"IDLE", "UNKNOWN"}
Rule = Callable[[str, set[str], bool], bool]
TABLE: tuple[tuple[Rule, str | None], ...] = (
    (lambda base, _flags, _jobs: base == "FUTURE", None),
    (lambda base, _flags, _jobs: base in {"DOWN", "ERROR"}, "down"),
    (lambda base, _flags, _jobs: base == "ALLOCATED", "allocated"),
    (lambda base, _flags, _jobs: base == "MIXED", "mixed"),
    (lambda base, flags, _jobs: base == "IDLE" and "COMPLETING" in flags, "allocated"),
    (lambda base, _flags, jobs: base == "IDLE" and jobs, "mixed"),
    (lambda base, flags, _jobs: base in _FREE and bool(flags & _OUT), "down"),
    (lambda base, flags, _jobs: base in _FREE and bool(flags & _POWER), "down"),
    (lambda base, flags, _jobs: base in _FREE and "MAINTENANCE" in flags, "down"),
    (lambda base, flags, _jobs: base in _FREE and "REBOOT_ISSUED" in flags, "down"),
    (lambda base, flags, _jobs: base == "UNKNOWN" or "NOT_RESPONDING" in flags, "unknown"),
    (lambda _base, flags, _jobs: "RESERVED" in flags, "reserved"),
    (lambda _base, flags, _jobs: "BLOCKED" in flags, "reserved"),
    (lambda _base, _flags, _jobs: True, "idle"),
)
"""The mapping, rule by rule: the first rule that applies decides."""


def wanted(base: str, flags: set[str], *, has_jobs: bool) -> str | None:
    """Return the word of the first rule that applies."""
    return next(word for rule, word in TABLE if rule(base, flags, has_jobs))


def wrong(base: str, release_flags: str) -> Iterator[tuple[str, object]]:
    """Yield the states with up to three flags whose word is not that of the table."""
    for count in range(4):
        for flags in combinations(release_flags.split(), count):
            text = "+".join((base, *flags))
            for has_jobs in (False, True):
                found = node_condition(state_words(text), has_jobs=has_jobs)
                if found != wanted(base, set(flags), has_jobs=has_jobs):
                    yield text, found


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("release", TEXT_FLAGS)
def test_every_scontrol_state_is_mapped_as_in_the_table(release: str, base: str) -> None:
    """Each base state with up to three flags gives the node state that TABLE has for it."""
    assert [] == list(wrong(base, TEXT_FLAGS[release]))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("release", JSON_FLAGS)
def test_every_json_state_is_mapped_as_in_the_table(release: str, base: str) -> None:
    """Slurm's JSON has more flags than its text; up to three are combined with a base state."""
    assert [] == list(wrong(base, JSON_FLAGS[release]))


@given(
    base=st.sampled_from(BASES),
    flags=st.sets(st.sampled_from(ALL_FLAGS)),
    has_jobs=st.booleans(),
)
def test_any_set_of_flags_is_mapped_as_in_the_table(
    base: str,
    flags: set[str],
    *,
    has_jobs: bool,
) -> None:
    """Random sets of flags of any size, on nodes with and without jobs."""
    assert wanted(base, flags, has_jobs=has_jobs) == node_condition(
        frozenset({base, *flags}), has_jobs=has_jobs
    )


def test_the_order_of_state_words_does_not_matter() -> None:
    """Slurm gives the words as a text or a JSON list: every order gives the same node state."""
    words = ("IDLE", "RESERVED", "MAINTENANCE", "COMPLETING")

    assert {"allocated"} == {
        node_condition(state_words("+".join(order))) for order in permutations(words)
    }


def test_no_state_word_of_slurm_is_unknown() -> None:
    """No base state and no flag of the releases 21.08 to 26.05 causes a warning."""
    assert set() == {*BASES, *ALL_FLAGS} - KNOWN_WORDS
