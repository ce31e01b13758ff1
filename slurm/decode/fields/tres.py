"""Counts out of a TRES text such as `cpu=4,mem=4000M,node=2,gres/gpu=4,gres/gpu:a100=4`."""

from __future__ import annotations

import re

_PART = re.compile(r"(?:^|,)(cpu|gres/gpu)=([0-9]{1,18})(?=,|$)")


def parse_tres(tres: str) -> tuple[int | None, int | None]:
    """Return CPUs and GPUs of all types that are allocated; None: not listed."""
    found = dict(_PART.findall(tres))
    cpus, gpus = found.get("cpu"), found.get("gres/gpu")
    return (int(cpus) if cpus else None), (int(gpus) if gpus else None)
