r"""Decodes cores, GRES and names of one job from `scontrol show job ID -d`, checked for forgery.

Users write parts of this text (names, comments, paths), line breaks included, so they can forge any
line of it. A record is trusted only if each structural line occurs exactly once and in order, if
the `Nodes=` lines directly follow `JOB_GRES=` (or `Socks/Node=`), and if nodes and number of CPUs
equal those of `squeue`. A forger only achieves that his own job is read from another, slower
source.

CPU numbers are Slurm's abstract ones, `core * threads per core + thread`
(`slurm_sprint_job_info`, `src/api/job_info.c`, 21.08 ... 26.05); their text is truncated after 127
characters up to 24.11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from slurm.decode.fields.hostlist import HostlistError, expand_hosts, expand_indices
from slurm.decode.fields.job_states import LIVE_STATES
from slurm.decode.fields.scalars import text
from slurm.decode.fields.sharing import sharing_from_text
from slurm.decode.job_resources import parse_node_gres
from slurm.decode.scontrol_nodes import NodeOf
from slurm.job import Job, NodeAllocation, Sharing

_TRUNCATED_LENGTH = 126
_FIRST_LINE = re.compile(r"JobId=(\d+)(?: (?:Array|Het)\w+=\S+)* JobName=(.*)")
_STRUCTURAL_KEYS = ("UserId=", "JobState=", "NodeList=", "Socks/Node=", "JOB_GRES=")
_SECOND_LINE_STARTS = ("   HetJobIdSet=", "   SLUID=", "   UserId=")
KEY = re.compile(r"   [A-Z][\w/:]*=")
_NODES = re.compile(r"     Nodes=(\S*) CPU_IDs=(\S*) Mem=\d* GRES=(.*)")
_ANY_NODES = re.compile(r"\s*Nodes=")
_MEMORY = re.compile(r"MinMemory(CPU|Node)=([0-9]{1,12}(?:\.[0-9]{1,6})?)([KMGTP]?)(?: |$)")
_SHARING = re.compile(r"   OverSubscribe=(\S+)(?: Exclusive=(\S+))? Contiguous=.*")
_FEATURES = re.compile(r"   Features=(\S+) DelayBoot=")
COMMENT = "   Comment="
_MIB = {"K": 1 / 1024, "M": 1.0, "": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}


class UntrustedTextError(Exception):
    """The text may be forged or truncated, or contradicts squeue."""


@dataclass(frozen=True, slots=True)
class _TrustedLines:
    """The checked lines of a record; users write `name` and `comment`, Slurm the other fields."""

    name: str
    nodes: tuple[str, ...]
    rest: tuple[str, ...]
    comment: str | None


def split_records(answer: str) -> tuple[str, ...]:
    """Return the parts of an answer that look like records: several for an array or het job."""
    return tuple(re.split(r"\n\n(?=JobId=)", _without_banner(answer).rstrip("\n ")))


def _without_banner(answer: str) -> str:
    """Return an answer about jobs without the lines that a site's wrapper prints before it.

    No user can write text before the first job id.
    """
    first = re.search(r"^JobId=", answer, re.MULTILINE)
    return answer[first.start() :] if first else answer


def add_job_detail(job: Job, stdout: str, *, node_of: NodeOf) -> Job:
    """Return a job from squeue completed by its detailed text.

    `job` has identity, state, times, user, nodes and CPUs; `stdout` is the complete answer about
    it.

    Raises:
        UntrustedTextError: the text cannot be trusted.
    """
    record = _trusted_lines(stdout, job.job_id)
    allocations = tuple(_allocations(job, record, node_of))
    nodes = _confirm_nodes(job, tuple(allocation.name for allocation in allocations))
    _check_cpus(job, allocations, node_of)
    return replace(
        job,
        nodes=nodes,
        allocations=tuple(replace(allocation, cpus=None) for allocation in allocations),
        name=text(record.name),
        sharing=sharing_after_resources(record.rest) or job.sharing,
        requested_memory=_memory(record.rest),
        constraints=_constraints(record.rest),
        comment=record.comment,
    )


def sharing_after_resources(lines: Sequence[str]) -> Sharing | None:
    """Return node sharing from one of the three lines directly after the resources.

    The line shows which release wrote it: only 26.05 and later print `Exclusive=`. squeue's column
    is less certain: it is chosen before, for a release that a site's wrapper may have changed.
    """
    for line in lines[:3]:
        if found := _SHARING.fullmatch(line):
            return sharing_from_text(exclusive=found[2], oversubscribe=found[1])
    return None


def _trusted_lines(stdout: str, job_id: int) -> _TrustedLines:
    lines = _without_banner(stdout).rstrip("\n ").split("\n")
    first = _FIRST_LINE.fullmatch(lines[0])
    if first is None or int(first[1]) != job_id:
        raise UntrustedTextError("scontrol's output is not about this job")
    # A forged line repeats one of these keys; Slurm itself prints each once.
    for word in _STRUCTURAL_KEYS:
        if sum(line.lstrip().startswith(word) for line in lines) != 1:
            raise UntrustedTextError(f"scontrol's output does not contain {word} exactly once")
    check_second_line(lines)
    end = next(place for place, line in enumerate(lines) if line.lstrip().startswith("JOB_GRES="))
    if not all(KEY.match(line) for line in lines[1 : end + 1]):
        raise UntrustedTextError(
            "scontrol's output has a line that is not KEY=VALUE before its node lines"
        )
    nodes = tuple(line for line in lines if _ANY_NODES.match(line))
    # All lines that look like nodes must be here: one further down comes from a comment or a path.
    behind = lines[end + 1 : end + 1 + len(nodes)]
    if tuple(behind) != nodes:
        raise UntrustedTextError("scontrol's output has node lines in the wrong place")
    rest = lines[end + 1 + len(nodes) :]
    return _TrustedLines(first[2], nodes, tuple(rest[:4]), free_text(rest, COMMENT))


def check_second_line(lines: Sequence[str]) -> None:
    """Check that the job's name has no line break: it would move what Slurm prints second.

    The name is the only free text before the second line, and it stands at the end of the first.

    Raises:
        UntrustedTextError: the second line of `lines` is not Slurm's.
    """
    if not lines[1].startswith(_SECOND_LINE_STARTS):
        raise UntrustedTextError(
            "line 2 of scontrol's output is not as expected: the job's name may have several lines"
        )


def _allocations(job: Job, record: _TrustedLines, node_of: NodeOf) -> Iterator[NodeAllocation]:
    for line in record.nodes:
        found = _NODES.fullmatch(line)
        # A list of CPUs of exactly this length may have been cut inside a number, which would still
        # parse.
        if found is None or len(found[2]) >= _TRUNCATED_LENGTH:
            raise UntrustedTextError(
                "a node line (Nodes=... CPU_IDs=...) in scontrol's output is incomplete"
            )
        try:
            names, cpus = expand_hosts(found[1]), expand_indices(found[2])
        except HostlistError as error:
            raise UntrustedTextError(str(error)) from error
        gres = parse_node_gres(found[3], is_live=job.state in LIVE_STATES)
        for name in names:
            yield _allocation(name, cpus, node_of, NodeAllocation(name=name, gres=gres))


def _allocation(
    name: str, cpus: tuple[int, ...], node_of: NodeOf, known: NodeAllocation
) -> NodeAllocation:
    """Return the cores of a node; its CPUs are counted by `_check_cpus`."""
    node = node_of(name)
    if node is None:
        return replace(known, cpus=len(cpus))
    cores = tuple(sorted({cpu // node.threads_per_core for cpu in cpus}))
    if cores and cores[-1] >= node.cores:
        raise UntrustedTextError(f"node {name} has no core {cores[-1]}")
    return replace(known, cores=cores, core_count=node.cores, cpus=len(cpus))


def _confirm_nodes(job: Job, detailed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the nodes if both sources agree; while COMPLETING squeue lists only some of them."""
    if detailed == job.nodes:
        return detailed
    # `name in rest` consumes the iterator: it checks that one list is a part of the other, in its
    # order.
    rest = iter(detailed)
    if "COMPLETING" in job.flags and all(name in rest for name in job.nodes):
        return detailed
    raise UntrustedTextError("scontrol lists other nodes than squeue")


def _check_cpus(job: Job, allocations: tuple[NodeAllocation, ...], node_of: NodeOf) -> None:
    """Compare the CPUs listed with squeue's number.

    Slurm allocates full cores and lists all their threads, but may count only the requested threads
    (CR_CPU) or only cores (a node configured with as many CPUs as cores): a core counts as one CPU
    up to its number of threads.
    """
    listed = sum(allocation.cpus or 0 for allocation in allocations)
    cores = sum(
        (allocation.cpus or 0) // (node.threads_per_core if node else 1)
        for allocation, node in ((a, node_of(a.name)) for a in allocations)
    )
    if job.cpus is None or not cores <= job.cpus <= listed:
        raise UntrustedTextError(f"scontrol lists {listed} CPUs, squeue counts {job.cpus}")


def _memory(lines: tuple[str, ...]) -> str | None:
    """Return the requested memory in MiB: `1000Mc` per CPU, `64000M` per node."""
    for line in lines:
        if (found := _MEMORY.search(line)) and float(found[2]):
            mebibytes = round(float(found[2]) * _MIB[found[3]])
            return f"{mebibytes}M{'c' if found[1] == 'CPU' else ''}"
    return None


def _constraints(lines: tuple[str, ...]) -> str | None:
    found = [match[1] for line in lines if (match := _FEATURES.match(line))]
    return text(found[0]) if found else None


def free_text(lines: Sequence[str], key: str) -> str | None:
    """Return a comment, which may have several lines.

    A user's text may contain the same key: then all of them are returned, so that none is hidden.
    """
    own: list[str] = []
    is_within = False
    for line in lines:
        if line.startswith(key):
            is_within = True
            own.append(line.removeprefix(key))
        elif KEY.match(line):
            is_within = False
        elif is_within:
            own.append(line)
    return text("\n".join(own).strip())


def job_record_text(text: str, job_id: int) -> str | None:
    """Return the part of exactly this job; None if there is none.

    The id of an array or het job gives several records; each begins with a line `JobId=`. A user
    may forge such a line inside a name: the first part with the id is the true one if one id was
    asked for, and a forger only achieves that his own text is truncated.
    """
    own = [part for part in split_records(text) if re.match(rf"JobId={job_id}\b", part)]
    return own[0].strip() + "\n" if own else None
