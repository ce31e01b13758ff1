"""Host lists: in Slurm's order, only real hosts, limited; two other libraries agree."""

from __future__ import annotations

import hostlist as oracle
import pytest
from ClusterShell.NodeSet import NodeSet
from hypothesis import given
from hypothesis import strategies as st

from slurm.decode.fields.hostlist import HostlistError, expand_hosts, expand_indices


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("n1", ("n1",)),
        ("n2cn[001-003],n2gpu02", ("n2cn001", "n2cn002", "n2cn003", "n2gpu02")),
        ("n[08-11]", ("n08", "n09", "n10", "n11")),
        ("n[8-11]", ("n8", "n9", "n10", "n11")),
        ("n[3,1-2]", ("n3", "n1", "n2")),
        ("r[0-1]n[1-2]", ("r0n1", "r0n2", "r1n1", "r1n2")),
        ("r[0-1]-ib.x", ("r0-ib.x", "r1-ib.x")),
        ("a_1.site.de", ("a_1.site.de",)),
        ("[1-2]", ("1", "2")),
        (" b,,a\tb\n", ("b", "a", "b")),
        ("", ()),
        ("(null)", ()),
        ("None assigned", ()),
        ("None", ()),
    ],
)
def test_host_lists_expand_in_slurms_order(text: str, hosts: tuple[str, ...]) -> None:
    """Each form of the grammar gives its hosts in the order in which Slurm counts them."""
    assert expand_hosts(text) == hosts


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("n[5-1]", 2, "the range 5-1 counts backwards"),
        ("n[1,5-1]", 4, "the range 5-1 counts backwards"),
        ("n]", 1, "unexpected ']'"),
        ("n[1", 1, "unexpected '['"),
        ("n[]", 2, "expected a number or a range such as 1-4, got ''"),
        ("n[1,]", 4, "expected a number or a range such as 1-4, got ''"),
        ("n[a]", 2, "expected a number or a range such as 1-4, got 'a'"),
        ("n[-1]", 2, "expected a number or a range such as 1-4, got '-1'"),
        ("n[1-2-3]", 2, "expected a number or a range such as 1-4, got '1-2-3'"),
        ("n[1[2]]", 1, "unexpected '['"),
        ("a,n{1}", 3, "unexpected '{'"),
        ("n\x00", 1, "unexpected '\\x00'"),
        ("n[1 ]", 2, "expected a number or a range such as 1-4, got '1'"),
        ("n[²]", 2, "expected a number or a range such as 1-4, got '\\\\xb2'"),
        ("n[1-65537]", 2, "more than 65536 entries"),
        ("n[1-9999999999999999999]", 2, "a number with more than 18 digits"),
        ("r[1-300]n[1-300]", 16, "more than 65536 hosts"),
        ("n[1-65536],x", 12, "more than 65536 hosts"),
    ],
)
def test_a_host_list_error_has_its_position(text: str, position: int, reason: str) -> None:
    """The error of an invalid host list names the reason and the position; no host is returned."""
    with pytest.raises(HostlistError) as caught:
        expand_hosts(text)

    assert str(caught.value).startswith(f"{reason} at character {position} of ")


def test_the_maximum_number_of_hosts_is_allowed() -> None:
    """A list of exactly 65536 hosts, the limit, is expanded."""
    assert len(expand_hosts("n[1-65536]")) == 65536
    assert len(expand_hosts("n[1-65535],m")) == 65536


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", ()), ("0-3,8", (0, 1, 2, 3, 8)), ("7", (7,)), ("2,0-1", (2, 0, 1))],
)
def test_index_lists_expand(text: str, numbers: tuple[int, ...]) -> None:
    """An index list such as `0-3,8` gives its numbers in the order of the text."""
    assert expand_indices(text) == numbers


@pytest.mark.parametrize("text", ["0-", "0,", "-1", "a", "1-65537", "0-3:2", " 1"])
def test_invalid_index_lists_are_refused(text: str) -> None:
    """A truncated or malformed index list is an error, and never gives a shorter list."""
    with pytest.raises(HostlistError):
        expand_indices(text)


@st.composite
def _ranges(draw: st.DrawFn) -> str:
    low = draw(st.integers(0, 120))
    high = low + draw(st.integers(0, 12))
    width = draw(st.integers(1, 4))
    if draw(st.booleans()):
        return f"{low:0{width}d}"
    return f"{low:0{width}d}-{high:0{max(width, len(str(low)))}d}"


_GROUP = st.lists(_ranges(), min_size=1, max_size=4).map(lambda r: f"[{','.join(r)}]")
_NAME = st.from_regex(r"[a-z][a-z]{0,3}", fullmatch=True)
_HOST = st.one_of(
    _NAME,
    st.tuples(_NAME, _GROUP).map("".join),
    st.tuples(_NAME, _GROUP, _NAME, _GROUP).map("".join),
)
_EXPRESSION = st.lists(_HOST, min_size=1, max_size=4).map(",".join)


@given(_EXPRESSION)
def test_python_hostlist_expands_to_the_same_hosts(text: str) -> None:
    """python-hostlist expands the grammar that both support to the same hosts in the same order."""
    expected = oracle.expand_hostlist(text, allow_duplicates=True, sort=False)

    assert list(expand_hosts(text)) == expected


@given(_EXPRESSION)
def test_clustershell_expands_to_the_same_hosts(text: str) -> None:
    """ClusterShell, which sorts and merges, gives the same set of hosts."""
    assert set(expand_hosts(text)) == set(NodeSet(text))


@given(st.text(alphabet="n0123[]-, x", max_size=14))
def test_every_text_is_expanded_or_refused(text: str) -> None:
    """Any text gives a list of plausible names or an error with a position."""
    try:
        hosts = expand_hosts(text)
    except HostlistError as error:
        place = str(error).partition(" at character ")[2].partition(" of ")[0]
        assert 0 <= int(place) <= len(text)
    else:
        assert all(host and not set(host) & set("[], ") for host in hosts)
