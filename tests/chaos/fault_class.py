"""A class of faults: how it begins and ends, and what must go on while it lasts.

The names P0 ... P19 are those of the faults that a drain once had; each stands for its class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.harness import World

Lift = Callable[[], None]
Begin = Callable[[World], Lift]


@dataclass(frozen=True, kw_only=True)
class FaultClass:
    """One class.

    `begin` lets it happen and returns what ends it. New runs must be delivered within
    `others_within` seconds while it lasts (None: they may wait). After its end every start must be
    delivered within `repaired_within` seconds by the drain's clock (None: as long as the rest), and
    all be well within `settled_within` seconds, or after `passing` more seconds that are made to
    pass at once. `is_calm`: while the fault lasts and nothing new comes, the drain may use little
    CPU time. `halts_nobody`: deliveries may not be halted.
    """

    name: str
    begin: Begin
    others_within: float | None = None
    lasting: float = 1.0
    repaired_within: float | None = None
    settled_within: float = 15.0
    passing: float = 0.0
    is_calm: bool = False
    halts_nobody: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, as a test's id."""
        return self.name
