"""The examples of the documentation: blocks of commands with their outputs.

A block is fenced as `console` and begins with a prompt, `$ ` or (for root) `# `. The line before
it may be a comment: `<!-- world: NAME -->` names the world of its commands (`doc_worlds`),
`<!-- not run: REASON -->` says that no test can run them. `...` in an output matches any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
USUAL_WORLD = "site"
REASONS = frozenset({"needs systemd", "needs real Slurm", "needs a real cc-backend"})
"""The reasons why a block may be excluded; each needs more than a stand-in."""

_FENCE = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EPOCH, _INSTANT = r"\b17\d{8}\b|\b18\d{8}\b", r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d( [+-]\d{4}|Z)?"
_VARIABLE = (
    (_INSTANT, "TIME"),
    (_EPOCH, "EPOCH"),
    (r"\b(?:\d+d )?(?:\d+h )?(?:\d+m )?\d+(?:\.\d+)?s\b|\b\d+[dhm] \d\d[hm]\b", "AGE"),
    (r"process \d+", "process PID"),
    (r"^next attempt .*\n", ""),
    (r"sync on \w+:", "sync on FILESYSTEM:"),
    (r"\d+ MiB free|\d+ inodes free", "N free"),
    (r"\d+ (in the last hour|since the drain was started AGE ago)", "N lately"),
    (r"'(free|free_inodes|deliveries_last_hour)'=\d+", r"'\1'=N"),
    (r" {2,}", "  "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command and its output according to the page."""

    prompt: str
    command: str
    output: str

    def text(self) -> str:
        """Return the step as written in a block."""
        return f"{self.prompt}{self.command}\n{self.output}"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page; `steps` is empty if it has no commands."""

    page: Path
    line: int
    mark: str
    text: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def world(self) -> str:
        """Return the name of the world in which the commands run."""
        return self.mark.removeprefix("world: ") if self.is_in_world else USUAL_WORLD

    @property
    def is_in_world(self) -> bool:
        """Return whether the comment before the block names a world."""
        return self.mark.startswith("world: ")

    @property
    def reason(self) -> str | None:
        """Return why the block is not run; None: it is run."""
        is_left_out = self.mark.startswith("not run: ")
        return self.mark.removeprefix("not run: ") if is_left_out else None


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page that begin with a prompt."""
    text = page.read_text()
    for match in _FENCE.finditer(text):
        body = match[3]
        if body.startswith(("$ ", "# ")):
            line = text.count("\n", 0, match.start(2)) + 1
            yield Block(page, line, match[1] or "", body, tuple(_steps(body)))


def _steps(body: str) -> Iterator[Step]:
    prompt = body[:2]
    for part in re.split(rf"^{re.escape(prompt)}", body, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command += f"\n{more}"
        yield Step(prompt, command, output)


def is_as_shown(shown: str, printed: str) -> bool:
    """Return whether an output matches the page, apart from times, ages, numbers and `...`."""
    parts = (re.escape(part) for part in comparable(shown).split("..."))
    return re.fullmatch(".*".join(parts), comparable(printed), re.DOTALL) is not None


def comparable(text: str) -> str:
    """Return an output with fixed words in place of the parts that differ between runs."""
    for pattern, word in _VARIABLE:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
