"""Placeholder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slurm.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Script and description of a job; `is_final` False: not reached in time, ask again."""

    script: str | None = field(default=None, repr=False)
    description: str | None = field(default=None, repr=False)
    is_final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsQuery:
    """Asks for the texts of some jobs and the names of some users."""

    jobs: tuple[Job, ...] = ()
    uids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsReply:
    """Texts by job id and start time, names by uid (None: the name service knows none now)."""

    texts: Mapping[tuple[int, int], Texts] = field(default_factory=dict)
    users: Mapping[int, str | None] = field(default_factory=dict)
