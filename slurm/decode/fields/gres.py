"""GRES strings of one node, such as `gpu:a100:2(IDX:0,2-3),shard:4(2/8,0/8)`, and TRES counts.

Source: `gres_*_job_build_details` (`src/slurmctld/gres_ctld.c` up to 23.11,
`src/stepmgr/gres_stepmgr.c` from 24.05). A list that Slurm has truncated (it prints into 128 bytes)
never yields wrong devices: its indices are None, not known.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from slurm.decode.fields.hostlist import HostlistError, expand_indices
from slurm.decode.fields.scalars import MAX_DIGITS
from slurm.errors import excerpt
from slurm.job import Gres

SHARED_GRES = frozenset({"shard", "mps"})
"""GRES whose count is a number of shares, not of devices."""

NO_GRES = frozenset({"", "(null)"})
"""What the commands print for a node without GRES."""

_MAX_LIST_CHARACTERS = 127
"""The size of Slurm's buffer for one index list (`char gres_str[128]`)."""

_PIECE = re.compile(
    # The prefix is `gres:` or `gres/` where Slurm prints TRES. The lookahead of the type keeps a
    # bare count (`gpu:2`, `gpu:4K(`) from being read as a type.
    r"(?:gres[:/])?(?P<name>[A-Za-z_][\w.+-]*)"
    r"(?::(?P<type>\(null\)|(?!no_consume:|[0-9]+[KMGTP]?(?:[(]|$))[^:,()\s]+))?"
    r"(?::no_consume)?"  # in the definition of a node (slurm.conf(5), Gres)
    r"(?::(?P<count>[0-9]{1,18})(?P<unit>[KMGTP]?))?"
    r"(?:\((?P<detail>[^()]*)(?P<closed>\)?))?"
)
_TO_COMMA = re.compile(r"(?:[^,(]|\([^()]*\)?)*")
_PLAIN_TYPE = re.compile(r"[\w.+-]+")
_SHARE = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50}
"""The power of two that a suffix of a count stands for."""
MAX_WARNINGS = 64
_warned: set[str] = set()
_log = logging.getLogger(__name__)


class GresError(ValueError):
    """Text that is not a GRES."""


def parse_gres(text: str | None) -> tuple[Gres, ...]:
    """Return the GRES of one node in the order of the text; () for None, `""` and `(null)`.

    `indices` are positions in the node's GRES bitmap, None where the text lacks them
    (`(CNT:4)`, no parenthesis, a truncated list). Shares (`shard`, `mps`) name the devices used. A
    piece that cannot be read is skipped with one warning; the others are not affected. A type with
    unusual characters is dropped in the same way: the device numbers do not depend on it.
    """
    if text is None or text.strip() in NO_GRES:
        return ()
    found: list[Gres] = []
    for piece in _split_pieces(text):
        try:
            gres = _parse_piece(piece)
        # One unusual GRES of a site must not cost the job its GPUs.
        except GresError as error:
            _warn(_kind_of(piece), f"a GRES of a job cannot be read and is skipped: {error}")
            continue
        if gres.type and not _PLAIN_TYPE.fullmatch(gres.type):
            _warn(
                _kind_of(piece),
                "the type of a GRES has unusual characters and is not reported:"
                f" {excerpt(piece)!r}",
            )
            gres = replace(gres, type=None)
        found.append(gres)
    return tuple(found)


def _split_pieces(text: str) -> list[str]:
    """Split a GRES text at its commas, except those in parentheses: they separate indices."""
    pieces: list[str] = []
    position = 0
    while position <= len(text) and (found := _TO_COMMA.match(text, position)):
        pieces.append(found[0])
        position = found.end() + 1
    return pieces


def _kind_of(piece: str) -> str:
    return re.sub(r"[0-9]+", "N", piece)


def _warn(kind: str, message: str) -> None:
    """Log a warning, only once for each `kind`, and for at most MAX_WARNINGS kinds."""
    if kind not in _warned and len(_warned) < MAX_WARNINGS:
        _warned.add(kind)
        _log.warning("%s", message)


def _parse_piece(piece: str) -> Gres:
    found = _PIECE.fullmatch(piece)
    if found is None:
        raise GresError(f"expected a GRES such as gpu:a100:2, got {excerpt(piece)!r}")
    name, detail = found["name"], found["detail"]
    count = int(found["count"] or 0) << UNITS[found["unit"] or ""]
    if detail and detail.startswith("CNT:") and found["closed"]:
        count = _count(detail[4:], piece)
    elif found["count"] is None:
        raise GresError(f"a GRES has no count: {excerpt(piece)!r}")
    indices = _indices(name, count, detail) if detail and found["closed"] else None
    type_name = None if found["type"] in NO_GRES else found["type"]
    return Gres(name=name, type=type_name, count=count, indices=indices)


def _count(digits: str, piece: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS):
        raise GresError(f"a GRES has no count: {excerpt(piece)!r}")
    return int(digits)


def _indices(name: str, count: int, detail: str) -> tuple[int, ...] | None:
    """Return the device indices in a text such as "IDX:0,2-3"; None if absent or truncated."""
    # `S:` names sockets and not devices, `IDX:N/A` none at all.
    if detail.startswith(("CNT:", "S:")) or detail == "IDX:N/A":
        return None
    try:
        if detail.startswith("IDX:"):
            return _devices(name, count, detail[4:])
        return _shared_devices(detail)
    except HostlistError as error:
        if len(detail) >= _MAX_LIST_CHARACTERS - 1:  # truncated inside a range
            return None
        raise GresError(str(error)) from error


def _devices(name: str, count: int, ranges: str) -> tuple[int, ...] | None:
    indices = expand_indices(ranges)
    # The count of a shared GRES is a number of shares, so it cannot confirm the list of devices.
    # Then only the length shows whether Slurm has truncated it.
    if name in SHARED_GRES:
        return indices if len(ranges) < _MAX_LIST_CHARACTERS - len("(IDX:)") else None
    return indices if len(indices) == count else None


def _shared_devices(shares: str) -> tuple[int, ...] | None:
    """Return the indices of devices with used shares; `2/8,0/8`: used/available per device."""
    if len(shares) >= _MAX_LIST_CHARACTERS - 1:
        return None
    found = [_SHARE.fullmatch(share) for share in shares.split(",")]
    if None in found:
        raise GresError(f"expected shares such as 0/100,50/100, got {excerpt(shares)!r}")
    return tuple(index for index, share in enumerate(found) if share and int(share[1]))


_SHARED_TRES = frozenset(f"gres/{name}" for name in SHARED_GRES)
_COUNT = re.compile(r"([0-9]{1,18})(?:\.[0-9]{1,6})?([KMGTP]?)")


def parse_tres(tres: str) -> tuple[int | None, int | None]:
    """Return the CPUs and GPUs in a text such as `cpu=4,mem=4000M,gres/gpu=4`; None: not listed.

    Which names are listed is a site's choice (AccountingStorageTRES): without `gres/gpu` the GPUs
    are the sum of their types, and never fewer. Shares (`shard`, `mps`) do not say on how many
    devices they are; a job with shares has some on each of its nodes, so at least one device per
    node is counted.
    """
    counts = {name: count for name, count in map(_part, tres.split(",")) if count is not None}
    # The plain count includes the typed ones where both are tracked, so they are never added.
    typed = [count for name, count in counts.items() if name.startswith("gres/gpu:")]
    known = [counts["gres/gpu"]] if "gres/gpu" in counts else []
    gpus = max([*known, sum(typed)]) if known or typed else None
    if gpus is None and any(
        counts[name] for name in counts if name.partition(":")[0] in _SHARED_TRES
    ):
        gpus = max(1, counts.get("node", 1))
    return counts.get("cpu"), gpus


def _part(part: str) -> tuple[str, int | None]:
    name, _, value = part.rpartition("=")
    found = _COUNT.fullmatch(value)
    return name, None if found is None else int(found[1]) << UNITS[found[2]]
