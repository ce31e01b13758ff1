"""The results of a soak, and whether they are good enough."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaos import oracle
from chaos.oracle import Verdict

GROWTH_BYTES = 5 << 20


@dataclass
class Report:
    """The results of a soak."""

    seed: int
    runs: int = 0
    kills: int = 0
    sweeps: list[int] = field(default_factory=list)
    growth_bytes: int = 0
    quiet_seconds: float | None = None
    cured: bool = False
    verdict: Verdict = field(default_factory=Verdict)
    after_cure: Verdict = field(default_factory=Verdict)

    @property
    def is_healthy(self) -> bool:
        """Return whether all requirements are met."""
        is_quiet = self.quiet_seconds is not None
        return not self.verdict and is_quiet and self.cured and self.growth_bytes <= GROWTH_BYTES

    def __str__(self) -> str:
        """Return the figures line by line."""
        counts = oracle.kinds(self.verdict)
        quiet = "never" if self.quiet_seconds is None else f"{self.quiet_seconds:.1f} s"
        lines = [
            f"seed {self.seed}: {self.runs} runs, {self.kills} kills, sweeps {self.sweeps}",
            ", ".join(f"{name} {count}" for name, count in counts.items()),
            f"memory of the drain grew by {self.growth_bytes / (1 << 20):.1f} MiB",
            f"quiet after {quiet}; poisoned runs delivered after their cure: {self.cured}",
        ]
        return "\n".join([*lines, *self.verdict[:20], *self.after_cure[:20]])
