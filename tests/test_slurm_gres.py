"""GRES strings of one node: every form of slurm.md section 5, truncated lists, invalid text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.decode.fields import gres
from slurm.decode.fields.gres import parse_gres
from slurm.job import Gres


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("", []),
        ("(null)", []),
        ("gpu:a100:2(IDX:0,2-3)", [("gpu", "a100", 2, None)]),
        ("gpu:a100:3(IDX:0,2-3)", [("gpu", "a100", 3, (0, 2, 3))]),
        ("gpu:2(IDX:0-1)", [("gpu", None, 2, (0, 1))]),
        ("gpu:(null):2(IDX:0-1)", [("gpu", None, 2, (0, 1))]),
        ("gpu:(null):2", [("gpu", None, 2, None)]),
        ("gpu:a100:2(IDX:N/A)", [("gpu", "a100", 2, None)]),
        ("gres:gpu:a100:2", [("gpu", "a100", 2, None)]),
        ("gres/gpu:2", [("gpu", None, 2, None)]),
        ("gpu:nvidia_h100.80gb-x:1(IDX:7)", [("gpu", "nvidia_h100.80gb-x", 1, (7,))]),
        ("gpu:3g.20gb:1(IDX:12)", [("gpu", "3g.20gb", 1, (12,))]),
        ("gpu:a40:0(IDX:)", [("gpu", "a40", 0, ())]),
        ("gpu:a100(CNT:4)", [("gpu", "a100", 4, None)]),
        ("gpu(CNT:4)", [("gpu", None, 4, None)]),
        ("gpu:a100:4(CNT:4)", [("gpu", "a100", 4, None)]),
        ("gpu:a100:4(S:0-1)", [("gpu", "a100", 4, None)]),
        ("gpu:a100:4", [("gpu", "a100", 4, None)]),
        ("license:4K", [("license", None, 4096, None)]),
        ("gpu:1g.10gb+me:2(IDX:0-1)", [("gpu", "1g.10gb+me", 2, (0, 1))]),
        (
            "gpu:1g.10gb+me:4(S:0-1),bandwidth:lustre:4G",
            [("gpu", "1g.10gb+me", 4, None), ("bandwidth", "lustre", 4 << 30, None)],
        ),
        (
            "gpu:a100:no_consume:2(S:0-1),gpu:no_consume:3,bandwidth:lustre:no_consume:4G",
            [
                ("gpu", "a100", 2, None),
                ("gpu", None, 3, None),
                ("bandwidth", "lustre", 4 << 30, None),
            ],
        ),
        ("gpu+x:a:1(IDX:3)", [("gpu+x", "a", 1, (3,))]),
        ("shard:4(2/8,2/8)", [("shard", None, 4, (0, 1))]),
        ("mps:100(0/400,100/400)", [("mps", None, 100, (1,))]),
        ("shard:4(IDX:0)", [("shard", None, 4, (0,))]),
        (
            "gpu:a100:1(IDX:0),gpu:a40:2(IDX:2-3),fpga:u280:1(IDX:0)",
            [
                ("gpu", "a100", 1, (0,)),
                ("gpu", "a40", 2, (2, 3)),
                ("fpga", "u280", 1, (0,)),
            ],
        ),
        ("gpu:a100:4(IDX:0,2", [("gpu", "a100", 4, None)]),
        (f"gpu:64(IDX:{','.join(map(str, range(0, 90, 2)))}-)", [("gpu", None, 64, None)]),
        (f"shard:64({','.join(['1/8'] * 32)},)", [("shard", None, 64, None)]),
        (f"shard:64(IDX:{','.join(map(str, range(0, 90, 2)))})", [("shard", None, 64, None)]),
    ],
)
def test_every_form_of_gres_is_read(
    text: str | None, expected: list[tuple[str, str | None, int, tuple[int, ...] | None]]
) -> None:
    """Name, type, count and devices are read; what Slurm has truncated or omitted is unknown."""
    assert list(parse_gres(text)) == [
        Gres(name=n, type=t, count=c, indices=i) for n, t, c, i in expected
    ]


@pytest.mark.parametrize(
    "text",
    [
        "gpu",
        "gpu:a100",
        "gpu:2(IDX:0-1))",
        "(IDX:0)",
        ",",
        "gpu:2(IDX:1-0)",
        "gpu:2(IDX:a,b)",
        "gpu:2(what)",
        "gpu(CNT:x)",
        "gpu(CNT:4",
        "shard:4(2/8,x)",
        "gpu:a100:2 (IDX:0-1)",
        "gpu:-1",
        "gpu:a100:2(IDX:0-1)\n",
        "7:1",
    ],
)
def test_invalid_gres_text_is_ignored(text: str) -> None:
    """Text outside the grammar gives no GRES; it is never read as fewer or other devices."""
    assert () == parse_gres(text)


@pytest.mark.parametrize(
    ("text", "expected", "warned"),
    [
        ("gpu:a100:2(IDX:0-1),scratch:ssd/raid:1", ("gpu", 2, (0, 1)), "scratch:ssd/raid:1"),
        ("lic@ense:1,gpu:2(IDX:2,5)", ("gpu", 2, (2, 5)), "lic@ense:1"),
        ("gpu:ssd/raid:2(IDX:0-1)", ("gpu", 2, (0, 1)), "gpu:ssd/raid:2"),
        ("gpu:mem=80G:2(IDX:0-1)", ("gpu", 2, (0, 1)), "gpu:mem=80G:2"),
        ("gpu:2(IDX:2,5),craynetwork", ("gpu", 2, (2, 5)), "craynetwork"),
        ("gpu:1(IDX:0),", ("gpu", 1, (0,)), "expected a GRES"),
        ("gpu:1,(IDX:0)", ("gpu", 1, None), "(IDX:0)"),
    ],
)
def test_gres_beside_an_unknown_form_are_read(
    text: str,
    expected: tuple[str, int, tuple[int, ...] | None],
    warned: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GRES of an unknown form causes one warning; its name and the other GRES are read."""
    monkeypatch.setattr(gres, "_warned", set())
    found = [piece for _ in range(2) for piece in parse_gres(text) if piece.name == "gpu"]

    assert [expected, expected] == [(piece.name, piece.count, piece.indices) for piece in found]
    assert 1 == len(caplog.messages)
    assert warned in caplog.text


def test_unknown_gres_that_differ_only_in_numbers_warn_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1000 unknown GRES such as odd@7:1 cause one warning in the log."""
    monkeypatch.setattr(gres, "_warned", set())
    for number in range(1000):
        parse_gres(f"odd@{number}:1")

    assert 1 == len(caplog.messages)


@given(st.integers(1, 60).flatmap(lambda n: st.sets(st.integers(0, 300), min_size=n, max_size=n)))
def test_a_truncated_gres_list_gives_no_devices(devices: set[int]) -> None:
    """If Slurm cuts the list of GPU devices at any character, the devices are unknown."""
    ranges = ",".join(map(str, sorted(devices)))
    whole = f"gpu:{len(devices)}(IDX:{ranges})"

    for end in range(len(whole)):
        assert all(piece.indices is None for piece in parse_gres(whole[:end]))
