"""Read the addresses of a host's GPUs from the output of nvidia-smi or rocm-smi.

Three outputs are understood, also mixed with other lines:
`nvidia-smi --query-gpu=index,pci.bus_id,uuid --format=csv` (with or without header, extra columns
are ignored), `nvidia-smi -L` behind it for MIG (each instance is an accelerator of its own), and
`rocm-smi --showbus` as text, CSV or JSON (`GPU[0] : PCI Bus: 0000:C1:00.0`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ccbackend.accelerators import normal_address
from slurm.light_dataclass import light_dataclass

ORDER_NOTE = (
    "Slurm numbers the GPUs in the order of gres.conf or of its AutoDetect, which may differ from"
    " this output: compare with `slurmd -G` on the host, and use --order if it differs"
)
_PCI = r"(?:[0-9a-f]{4}|[0-9a-f]{8}):[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
_NVIDIA = re.compile(rf"\s*([0-9]{{1,4}})\s*,\s*({_PCI})", re.IGNORECASE)
_ROCM = re.compile(rf'"?(?:GPU\[|card)([0-9]{{1,4}})\]?[^\n]*?({_PCI})', re.IGNORECASE)
_LISTED = re.compile(r"GPU ([0-9]{1,4}): .*\(UUID: (GPU-[^)\s]+)\)")
_MIG = re.compile(r"\s+MIG .*Device\s+([0-9]{1,4}): \(UUID: (MIG-[^)\s]+)\)")


@light_dataclass
class GpuAddresses:
    """The addresses of a host's accelerators in order, and notes on what must be checked."""

    addresses: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_gpu_addresses(text: str, order: Sequence[int] = ()) -> GpuAddresses:
    """Return the addresses in the order of the GPUs' numbers, or in that of `order`.

    With MIG every instance is one accelerator, in the order of the list, and its UUID is the
    address; a GPU without instances keeps its PCI address.

    Raises:
        ValueError: there is no GPU in the text, a number occurs twice, or `order` does not fit.
    """
    gpus = _gpus(text)
    if not gpus:
        raise ValueError(
            "there is no GPU in the input; expected the output of"
            " `nvidia-smi --query-gpu=index,pci.bus_id,uuid --format=csv` or `rocm-smi --showbus`"
        )
    instances = _instances(text)
    addresses: list[str] = []
    if order and sorted(order) != sorted(gpus):
        raise ValueError(
            f"--order must contain each of the GPU numbers {sorted(gpus)} exactly once"
        )
    for number in order or sorted(gpus):
        addresses += instances.get(number) or [gpus[number]]
    notes = [] if order else [ORDER_NOTE]
    if instances:
        notes.append(
            "MIG: the order is that of `nvidia-smi -L`; repeat the command if instances change"
        )
    return GpuAddresses(addresses=tuple(addresses), notes=tuple(notes))


def _gpus(text: str) -> dict[int, str]:
    """Return the PCI address of each GPU by its number."""
    gpus: dict[int, str] = {}
    for line in text.splitlines():
        found = _NVIDIA.match(line)
        for number, address in [found.groups()] if found else _ROCM.findall(line):
            index, full = int(number), normal_address(address)
            if gpus.setdefault(index, full) != full:
                raise ValueError(f"GPU {index} occurs twice; use the output of only one host")
    return gpus


def _instances(text: str) -> dict[int, list[str]]:
    """Return the MIG instances of each GPU, from `nvidia-smi -L`."""
    found: dict[int, list[str]] = {}
    number = None
    for line in text.splitlines():
        if (gpu := _LISTED.match(line)) is not None:
            number = int(gpu[1])
        elif number is not None and (instance := _MIG.match(line)) is not None:
            found.setdefault(number, []).append(instance[2])
    return found


def host_pattern_of(hosts: Sequence[str]) -> str:
    """Return the pattern of `gpuPciAddrs` that matches exactly these hosts."""
    names = "|".join(host.replace(".", r"\.") for host in hosts)
    return f"^{names}$" if len(hosts) == 1 else f"^(?:{names})$"
