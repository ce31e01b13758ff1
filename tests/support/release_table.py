"""Make the table of Slurm releases for the documentation."""

from __future__ import annotations

from slurm.release import RELEASE_TABLE, SAME_IN_EVERY_RELEASE, QueryMethod

LEGEND = (
    (
        "Text",
        (
            "`squeue -j IDS -O …` for identity, state, times, user, nodes and sharing, then "
            "`scontrol show job ID -d` for the cores and GRES of each job, trusted only where no "
            "user can have forged it"
        ),
    ),
    ("JSON", "`squeue` with the option shown"),
)
"""The explanation of the terms in the table."""


def markdown() -> str:
    """Return the table of Slurm releases in docs/compatibility.md."""
    head = "| Slurm from | a few jobs | many jobs | JSON | where that fails | sharing in text |"
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    for row in RELEASE_TABLE:
        name = str(row.since).removesuffix(".0")
        rest = "JSON, else hosts alone" if row.few_jobs is QueryMethod.TEXT else "text"
        cells = (
            name,
            row.few_jobs,
            row.many_jobs,
            f"`{row.json_option}`",
            rest,
            f"`{row.sharing_column}`",
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"- {what}: {how}." for what, how in LEGEND]
    lines += [f"- In every release {what}: {how}." for what, how in SAME_IN_EVERY_RELEASE]
    return "\n".join(lines) + "\n"
