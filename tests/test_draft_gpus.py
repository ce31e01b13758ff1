"""Addresses of GPUs for the configuration, from the output of vendors' tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import call

from spool.draft.gpu_addresses import ORDER_NOTE, host_pattern_of, read_gpu_addresses

NVIDIA = """index, pci.bus_id, uuid
0, 00000000:07:00.0, GPU-11111111-aaaa-bbbb-cccc-000000000000
1, 00000000:0F:00.0, GPU-22222222-aaaa-bbbb-cccc-000000000000
"""
MIG = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000000)
  MIG 3g.20gb     Device  0: (UUID: MIG-aaaa)
  MIG 3g.20gb     Device  1: (UUID: MIG-bbbb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000000)
"""
ROCM = """======================= ROCm System Management Interface =======================
GPU[0]\t\t: PCI Bus: 0000:C1:00.0
GPU[1]\t\t: PCI Bus: 0000:c6:00.0
================================================================================
"""
AMD = ("00000000:C1:00.0", "00000000:C6:00.0")


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        (NVIDIA, ("00000000:07:00.0", "00000000:0F:00.0")),
        ("\n".join(reversed(NVIDIA.splitlines())), ("00000000:07:00.0", "00000000:0F:00.0")),
        (NVIDIA + MIG, ("MIG-aaaa", "MIG-bbbb", "00000000:0F:00.0")),
        (ROCM, AMD),
        ("device,PCI Bus\ncard0,0000:C1:00.0\ncard1,0000:C6:00.0\n", AMD),
        ('{"card0": {"PCI Bus": "0000:C1:00.0"}, "card1": {"PCI Bus": "0000:C6:00.0"}}', AMD),
    ],
)
def test_gpu_addresses_are_read_in_order(text: str, addresses: tuple[str, ...]) -> None:
    """All formats of nvidia-smi and ROCm are accepted; each MIG instance is one accelerator."""
    assert addresses == read_gpu_addresses(text).addresses


def test_the_gpu_order_of_slurm_can_be_given() -> None:
    """With an order the only note is about MIG; without it a note says to check the order."""
    found = read_gpu_addresses(NVIDIA + MIG, (1, 0))

    assert ("00000000:0F:00.0", "MIG-aaaa", "MIG-bbbb") == found.addresses
    assert [note.partition(":")[0] for note in found.notes] == ["MIG"]
    assert (ORDER_NOTE,) == read_gpu_addresses(NVIDIA).notes


@pytest.mark.parametrize(
    ("text", "order", "words"),
    [
        ("", (), "there is no GPU"),
        (NVIDIA + "0, 00000000:0F:00.0\n", (), "GPU 0 occurs twice"),
        (NVIDIA, (0, 2), "must contain each of the GPU numbers"),
        (MIG, (), "there is no GPU"),
    ],
)
def test_unusable_gpu_output_is_rejected(text: str, order: tuple[int, ...], words: str) -> None:
    """No GPU, a GPU that occurs twice or a wrong order is an error: no address is guessed."""
    with pytest.raises(ValueError, match=words):
        read_gpu_addresses(text, order)


def test_a_host_pattern_matches_exactly_its_hosts() -> None:
    """One or several host names become one regular expression with special characters escaped."""
    assert "^g1$" == host_pattern_of(["g1"])
    assert r"^(?:g-1|g2\.x)$" == host_pattern_of(["g-1", "g2.x"])


def test_gpu_addresses_are_written_to_stdout(tmp_path: Path) -> None:
    """`draft-gpus` reads a file or stdin, and needs no configuration."""
    (tmp_path / "gpus").write_text(NVIDIA)
    expected = {"gpuPciAddrs": {"^(?:g1|g2)$": ["00000000:07:00.0", "00000000:0F:00.0"]}}
    said = call("draft-gpus", "g1", "g2", "-f", tmp_path / "gpus")
    assert (0, expected) == (said.code, json.loads(said.out))
    assert "check: Slurm numbers the GPUs" in said.err

    said = call("draft-gpus", "g1", "--order", "1,0", stdin=NVIDIA)
    assert ["00000000:0F:00.0", "00000000:07:00.0"] == json.loads(said.out)["gpuPciAddrs"]["^g1$"]


def test_a_host_list_is_expanded() -> None:
    """`n[08-10]` becomes three names: in a pattern the brackets would match other names."""
    said = call("draft-gpus", "n[08-10]", "g1,g2", stdin=NVIDIA)

    assert ["^(?:n08|n09|n10|g1|g2)$"] == [*said.json["gpuPciAddrs"]]


@pytest.mark.parametrize("host", ["n[01-12", "n*", "(null)", ""])
def test_an_invalid_host_name_is_a_usage_error(host: str) -> None:
    """`draft-gpus` exits with 2 and prints no pattern; the message has valid host names."""
    said = call("draft-gpus", host, stdin=NVIDIA)

    assert (2, "") == (said.code, said.out)
    assert f"HOST {host!r}: " in said.err
    assert "write NodeNames such as n1 or n[01-12]" in said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-f", "/nonexistent/gpus"], "No such file"),
        (["-f", "/dev/null"], "there is no GPU in the input"),
        (["--order", "0,x"], "expected GPU numbers such as 0,2,1,3"),
    ],
)
def test_wrong_input_is_a_usage_error(words: list[str], text: str) -> None:
    """`draft-gpus` exits with 2 for a missing file, an empty file or an invalid order."""
    said = call("draft-gpus", "g1", *words)

    assert 2 == said.code
    assert text in said.err
