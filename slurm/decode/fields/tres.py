"""Reads counts from a TRES text such as `cpu=4,mem=4000M,node=2,gres/gpu=4,gres/gpu:a100=4`."""

from __future__ import annotations

import re

from slurm.decode.fields.gres import SHARED_GRES, UNITS

_COUNT = re.compile(r"([0-9]{1,18})(?:\.[0-9]{1,6})?([KMGTP]?)")


def parse_tres(tres: str) -> tuple[int | None, int | None]:
    """Return CPUs and GPUs of all types that are allocated; None: not listed.

    Which names are listed is a site's choice (AccountingStorageTRES): without `gres/gpu` the GPUs
    are the sum of their types, and never fewer. Shares (`shard`, `mps`) do not say on how many
    devices they are; a job with shares has some on each of its nodes, so at least one device per
    node is counted.
    """
    counts = {name: count for name, count in map(_part, tres.split(",")) if count is not None}
    typed = [count for name, count in counts.items() if name.startswith("gres/gpu:")]
    known = [counts["gres/gpu"]] if "gres/gpu" in counts else []
    gpus = max([*known, sum(typed)]) if known or typed else None
    if gpus is None and any(_is_share(name) and count for name, count in counts.items()):
        gpus = max(1, counts.get("node", 1))
    return counts.get("cpu"), gpus


def _part(part: str) -> tuple[str, int | None]:
    name, _, value = part.rpartition("=")
    found = _COUNT.fullmatch(value)
    return name, None if found is None else int(found[1]) << UNITS[found[2]]


def _is_share(name: str) -> bool:
    return name.removeprefix("gres/").partition(":")[0] in SHARED_GRES and name.startswith("gres/")
