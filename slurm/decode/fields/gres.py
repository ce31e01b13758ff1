"""GRES strings of one node, such as `gpu:a100:2(IDX:0,2-3),shard:4(2/8,0/8)`.

Source: `gres_*_job_build_details` (`src/slurmctld/gres_ctld.c` up to 23.11,
`src/stepmgr/gres_stepmgr.c` from 24.05). A list that Slurm has cut (it prints into 128 bytes)
never yields wrong devices: its indices are None, not known.
"""

from __future__ import annotations

import re

from slurm.decode.fields.hostlist import HostlistError, expand_indices
from slurm.errors import excerpt
from slurm.job import Gres

SHARED_GRES = frozenset({"shard", "mps"})
"""GRES whose count is a number of shares, not of devices."""

_MAX_LIST_CHARACTERS = 127
"""Characters that Slurm has for one index list (`char gres_str[128]`)."""

_PIECES = re.compile(r"(?:[^,()]|\([^()]*\)?)+")
_PIECE = re.compile(
    r"(?P<name>[A-Za-z_][\w.-]*)"
    r"(?::(?P<type>(?![0-9]+[KMGTP]?(?:[(]|$))[\w.-]+))?"
    r"(?::(?P<count>[0-9]{1,18})(?P<unit>[KMGTP]?))?"
    r"(?:\((?P<detail>[^()]*)(?P<closed>\)?))?"
)
_SHARE = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50}


class GresError(ValueError):
    """Text that is no GRES string."""


def parse_gres(text: str | None) -> tuple[Gres, ...]:
    """Return the GRES of one node in their order; None, `""` and `(null)` have none.

    `indices` are positions in the node's GRES bitmap, None where the text does not tell them
    (`(CNT:4)`, no parenthesis, a cut list). Shares (`shard`, `mps`) name the devices used.

    Raises:
        GresError: the text is outside the grammar.
    """
    if text is None or text.strip() in {"", "(null)"}:
        return ()
    pieces = _PIECES.findall(text)
    if ",".join(pieces) != text:
        raise GresError(f"no GRES list: {excerpt(text)!r}")
    return tuple(_parse_piece(piece) for piece in pieces)


def _parse_piece(piece: str) -> Gres:
    found = _PIECE.fullmatch(piece)
    if found is None:
        raise GresError(f"no GRES: {excerpt(piece)!r}")
    name, detail = found["name"], found["detail"]
    count = int(found["count"] or 0) << _UNITS[found["unit"] or ""]
    if detail and detail.startswith("CNT:") and found["closed"]:
        if not detail[4:].isdecimal():
            raise GresError(f"no count: {excerpt(piece)!r}")
        count = int(detail[4:])
    elif found["count"] is None:
        raise GresError(f"no count: {excerpt(piece)!r}")
    indices = _indices(name, count, detail) if detail and found["closed"] else None
    return Gres(name=name, type=found["type"], count=count, indices=indices)


def _indices(name: str, count: int, detail: str) -> tuple[int, ...] | None:
    """Return the devices that the text in parentheses names, None where it does not."""
    if detail.startswith(("CNT:", "S:")):
        return None
    try:
        if detail.startswith("IDX:"):
            return _devices(name, count, detail[4:])
        return _shared_devices(detail)
    except HostlistError as error:
        if len(detail) >= _MAX_LIST_CHARACTERS - 1:  # cut inside a range
            return None
        raise GresError(str(error)) from error


def _devices(name: str, count: int, ranges: str) -> tuple[int, ...] | None:
    indices = expand_indices(ranges)
    if name in SHARED_GRES:
        return indices if len(ranges) < _MAX_LIST_CHARACTERS - len("(IDX:)") else None
    return indices if len(indices) == count else None


def _shared_devices(shares: str) -> tuple[int, ...] | None:
    """Return positions with a share, from `2/8,0/8`: used of available per device."""
    if len(shares) >= _MAX_LIST_CHARACTERS - 1:
        return None
    found = [_SHARE.fullmatch(share) for share in shares.split(",")]
    if None in found:
        raise GresError(f"no shares: {excerpt(shares)!r}")
    return tuple(index for index, share in enumerate(found) if share and int(share[1]))
