"""Decodes `scontrol -a -d -o show node`: state, allocation and partitions of each node.

One line a node, read as it arrives: the answer about 10 000 nodes is 6 MB. Only operators can write
free text into it (Reason, Comment, Extra). These texts follow all fields that are read, and a line
feed in one of them makes a line of its own, which can look like the record of another node: a name
that occurs twice is therefore not used at all (Slurm 21.08 ... 26.05).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from slurm.errors import FailureReason, SlurmError, shown
from slurm.light_dataclass import light_dataclass

MAX_BAD_SHARE = 0.01
MAX_BAD_LINES = 2
"""More bad lines than both limits are another format, not a text that an operator wrote."""

_FREE_TEXT = re.compile(r" (?:Reason|Comment|Extra)=")
_LINE = re.compile(
    r"NodeName=(\S+) .*?CPUAlloc=([0-9]{1,18}) .*?CPUTot=[0-9]+ .*? Gres=\S*"
    r"(?: GresDrain=\S*)?(?: GresUsed=(\S*))? .*? RealMemory=[0-9]+ AllocMem=([0-9]{1,18}) "
    r".*?State=(\S+) ThreadsPerCore=[0-9]+ (?:.*? Partitions=(\S+))?"
)
_RECORD = b"NodeName="
# `gpu:a100:3(IDX:0,2-3)`, `gpu:0`, `gpu:(null):1(IDX:0)`; where no device is used `(IDX:N/A)`
_GPU = re.compile(r"(?:^|,)gpu(?::(?:\(null\)|[^:,()]+))?:([0-9]{1,18})(?=[(,]|$)")
# The one-character suffixes of releases before 21.08, also still printed by sinfo (slurm.h).
_SUFFIXES = {
    "*": "NOT_RESPONDING",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "%": "POWERING_DOWN",
    "!": "POWER_DOWN",
    "$": "MAINTENANCE",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "-": "PLANNED",
}
_ABBREVIATIONS = {"ALLOC": "ALLOCATED", "MIX": "MIXED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node as Slurm knows it now.

    `words` are the base state and all flags (`IDLE`, `DRAIN`). `cpus`, `memory_mb` (MiB) and `gpus`
    are allocated to jobs.
    """

    name: str
    words: frozenset[str]
    cpus: int = 0
    memory_mb: int = 0
    gpus: int = 0
    partitions: tuple[str, ...] = ()


@light_dataclass
class NodeListing:
    """A complete answer: nodes in Slurm's order, names that occurred twice, lines not read."""

    nodes: tuple[NodeRecord, ...]
    duplicates: tuple[str, ...] = ()
    bad_lines: int = 0


class NodeListingReader:
    """A reader of the output in pieces, so that it is never in memory as a whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._nodes: list[NodeRecord] = []
        self._bad: list[str] = []
        self._bad_lines = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the output."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(_RECORD):
                self._add(line.decode("utf-8", "replace"))

    def finish(self) -> NodeListing:
        """Return the node listing; call it after the last piece of output.

        Raises:
            SlurmError: the output is empty, truncated or of another format.
        """
        if self._rest:
            message = f"the last line of scontrol's output is truncated: {shown(self._rest)}"
            raise SlurmError(message, reason=FailureReason.INCOMPLETE)
        bad, good = self._bad_lines, len(self._nodes)
        if not good or bad > max(MAX_BAD_LINES, MAX_BAD_SHARE * (bad + good)):
            said = f"{bad} of {bad + good} lines cannot be read: {self._bad}"
            message = f"scontrol show node: {said if bad else 'no node in its output'}"
            raise SlurmError(message, reason=FailureReason.MALFORMED)
        times = Counter(node.name for node in self._nodes)
        return NodeListing(
            nodes=tuple(node for node in self._nodes if times[node.name] == 1),
            duplicates=tuple(name for name, count in times.items() if count > 1),
            bad_lines=bad,
        )

    def _add(self, line: str) -> None:
        found = _LINE.match(_FREE_TEXT.split(line, 1)[0])
        if found is None:
            self._bad_lines += 1
            self._bad = self._bad or [shown(line.encode())]
            return
        name, cpus, gres, memory, state, partitions = found.groups()
        self._nodes.append(
            NodeRecord(
                name=name,
                words=state_words(state),
                cpus=int(cpus),
                memory_mb=int(memory),
                gpus=_gpus(gres or ""),
                partitions=_partitions(partitions or ""),
            )
        )


@lru_cache(maxsize=1024)
def state_words(text: str) -> frozenset[str]:
    """Return base state and flags of Slurm's text, such as `IDLE+DRAIN` or the old `IDLE*`."""
    return frozenset(_words(text))


def _words(text: str) -> Iterator[str]:
    for part in text.upper().split("+"):
        word = part.rstrip("".join(_SUFFIXES))
        yield _ABBREVIATIONS.get(word, word)
        yield from (_SUFFIXES[suffix] for suffix in part[len(word) :])


@lru_cache(maxsize=4096)
def _gpus(text: str) -> int:
    """Return how many devices of GRES `gpu` are in use; shares (`shard`, `mps`) do not count."""
    return sum(map(int, _GPU.findall(text)))


@lru_cache(maxsize=1024)
def _partitions(text: str) -> tuple[str, ...]:
    return tuple(sys.intern(name) for name in text.split(",") if name)
