"""GRES strings of one node: every form of slurm.md section 5, cut lists, nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.decode.fields.gres import GresError, parse_gres
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
        ("gpu:nvidia_h100.80gb-x:1(IDX:7)", [("gpu", "nvidia_h100.80gb-x", 1, (7,))]),
        ("gpu:3g.20gb:1(IDX:12)", [("gpu", "3g.20gb", 1, (12,))]),
        ("gpu:a40:0(IDX:)", [("gpu", "a40", 0, ())]),
        ("gpu:a100(CNT:4)", [("gpu", "a100", 4, None)]),
        ("gpu(CNT:4)", [("gpu", None, 4, None)]),
        ("gpu:a100:4(CNT:4)", [("gpu", "a100", 4, None)]),
        ("gpu:a100:4(S:0-1)", [("gpu", "a100", 4, None)]),
        ("gpu:a100:4", [("gpu", "a100", 4, None)]),
        ("license:4K", [("license", None, 4096, None)]),
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
def test_every_form_is_read(
    text: str | None, expected: list[tuple[str, str | None, int, tuple[int, ...] | None]]
) -> None:
    """Name, type, count and devices come out; what Slurm has cut or left out is not known."""
    gres = [Gres(name=n, type=t, count=c, indices=i) for n, t, c, i in expected]

    assert list(parse_gres(text)) == gres


@pytest.mark.parametrize(
    "text",
    [
        "gpu",
        "gpu:a100",
        "gpu:2(IDX:0-1))",
        "gpu:2,(IDX:0)",
        ",gpu:1",
        "gpu:1,",
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
def test_nonsense_is_refused(text: str) -> None:
    """Text outside the grammar raises, it is never read as fewer or other devices."""
    with pytest.raises(GresError):
        parse_gres(text)


@given(st.integers(1, 60).flatmap(lambda n: st.sets(st.integers(0, 300), min_size=n, max_size=n)))
def test_no_cut_names_wrong_devices(devices: set[int]) -> None:
    """Wherever Slurm cuts the list, devices are named only if all of them are."""
    ranges = ",".join(map(str, sorted(devices)))
    whole = f"gpu:{len(devices)}(IDX:{ranges})"

    for end in range(len(whole)):
        try:
            (gres,) = parse_gres(whole[:end]) or (Gres(name="gpu", count=0),)
        except GresError:
            continue
        assert gres.indices is None
