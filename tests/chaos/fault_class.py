"""A class of faults: how it begins and ends, and what must still work while it lasts.

The names P0 to P19 are those of faults that the drain once had; each names a class.
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
    """A class of faults, with the times within which the drain must deliver.

    `begin` starts the fault and returns the function that ends it. New runs must be delivered
    within `others_within` seconds while it lasts (None: they may wait). After its end every start
    must be delivered within `repaired_within` seconds by the drain's clock (None: `passing` plus
    `settled_within`). Nothing may be wrong after `settled_within` seconds, or after `passing` more
    seconds, by which the clocks are moved. `is_calm`: the drain may use only little CPU time while
    the fault lasts and nothing new happens. `halts_nobody`: deliveries must not be halted.
    """

    name: str
    begin: Begin
    others_within: float | None = None
    lasting: float = 1.0
    repaired_within: float | None = None
    settled_within: float = 15.0
    passing: float = 0.0
    is_calm: bool = False
    halts_nothing: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, which is the test's id."""
        return self.name
