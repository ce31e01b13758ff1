"""Write a recording: a folder, its files, and `commands.txt` with the commands in order."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FIELDS = (
    "%A|%i|%F|%K|%t|%T|%r|%S|%e|%V|%L|%l|%M|%C|%D|%N|%B|%u|%U|%g|%G|%a|%P|%q|%b|%m|%c|%h|%X|%Y|%z"
    "|%Q|%p|%y|%v|%w|%E|%f|%n|%x|%o|%Z|%k|%j"
)
LONG_FIELDS = ",".join(
    f"{name}:|"
    for name in (
        *("JobID", "ArrayJobID", "ArrayTaskID", "HetJobID", "HetJobOffset", "StateCompact"),
        *("State", "ReasonList", "SubmitTime", "EligibleTime", "StartTime", "EndTime"),
        *("TimeLimit", "TimeUsed", "PreemptTime", "RestartCnt", "NumNodes", "NumCPUs"),
        *("NumTasks", "NodeList", "tres-alloc", "tres", "tres-per-node", "tres-per-job", "sct"),
        *("OverSubscribe", "Account", "Partition", "QOS", "UserName", "UserID", "GroupID"),
        *("exit_code", "Comment", "Name"),
    )
)
ACCOUNTING_FIELDS = (
    "JobIDRaw,JobID,JobName,User,UID,Group,GID,Account,Cluster,Partition,QOS,State,Reason,ExitCode,"
    "DerivedExitCode,Submit,Eligible,Start,End,Elapsed,ElapsedRaw,Suspended,Timelimit,TimelimitRaw,"
    "NNodes,AllocNodes,NCPUS,AllocCPUS,ReqCPUS,ReqMem,NTasks,NodeList,AllocTRES,ReqTRES,Layout,"
    "Priority,Flags,Reservation,Constraints,DBIndex,AssocID,SubmitLine,WorkDir,Comment,AdminComment,"
    "SystemComment"
)
_SHORT = {FIELDS: '"$SQ"', LONG_FIELDS: '"$SQL"', ACCOUNTING_FIELDS: '"$SA"'}


class Said(NamedTuple):
    """The exit status and the output of a command."""

    status: int
    stdout: bytes
    stderr: bytes


Run = Callable[[Sequence[str], str], Said]
"""A function that runs a command as a user."""


class RecordingWriter:
    """Writes the folder of one recording."""

    def __init__(self, folder: Path, run: Run, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._run = run
        self._clock = clock
        self._lines: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    def head(self, release: str, settings: str) -> None:
        """Write the first lines of `commands.txt`."""
        self._lines += [
            f"Slurm {release}",
            f"settings other than the common ones: {settings or 'none'}",
            "each line: [seconds since 1970, user@host] command",
            f"SQ='{FIELDS}'",
            f"SQL='{LONG_FIELDS}'",
            f"SA='{ACCOUNTING_FIELDS}'",
            "",
        ]

    def note(self, text: str) -> None:
        """Write a remark."""
        self._lines.append(text)

    def command(self, *argv: str, user: str = "root", shown: str | None = None) -> Said:
        """Run a command that changes something; write its output to `commands.txt`."""
        said = self._run(argv, user)
        self._lines.append(f"[{self._clock():.3f} {user}@ctl01] {shown or shlex.join(argv)}")
        self._lines += [f"    {line}" for line in _text(said.stdout).splitlines()]
        self._lines += _failure(said)
        return said

    def keep(
        self, name: str, *argv: str, user: str = "root", unless_as: str | None = None
    ) -> bytes | None:
        """Run a command and keep what it prints as a file.

        Args:
            name: of the file.
            argv: the command, perhaps behind `env NAME=VALUE`.
            user: who asks.
            unless_as: a file kept before; an answer with the same records is not kept.

        Returns:
            what it printed, None if it failed.
        """
        said = self._run(argv, user)
        words = " ".join(_SHORT.get(word, shlex.quote(word)) for word in argv)
        self._lines.append(f"[{self._clock():.3f} {user}@ctl01] {words.removeprefix('env ')}")
        if said.status or not said.stdout:
            self._lines += _failure(said) or ["    no output"]
            return None
        if unless_as is not None and self._is_same(said.stdout, unless_as):
            self._lines.append(f"    > {name} (not kept: the same job records as {unless_as})")
            return said.stdout
        (self.folder / name).write_bytes(said.stdout)
        self._lines.append(f"    > {name}")
        return said.stdout

    def close(self) -> None:
        """Write `commands.txt`."""
        (self.folder / "commands.txt").write_text("\n".join(self._lines) + "\n")

    def _is_same(self, stdout: bytes, name: str) -> bool:
        other = self.folder / name
        return other.exists() and _records(stdout) == _records(other.read_bytes())


def jobs_at(
    writer: RecordingWriter, moment: str, jobs: Sequence[int], *, is_whole: bool = True
) -> None:
    """Keep what all commands print about the jobs of a scenario, the main one first.

    `is_whole` False is the shorter form for the time after the end.
    """
    mark = f"-{moment}" if moment else ""
    quoted = f' "{moment}"' if moment else ""
    ids = ",".join(map(str, jobs))
    keep = writer.keep
    writer.note(f"\n# --- recording{quoted}")
    if is_whole:
        keep(f"squeue{mark}.json", "squeue", "--json")
    same = f"squeue{mark}.json"
    keep(f"squeue-all{mark}.json", "squeue", "--json", "--states=all", unless_as=same)
    epoch = ("env", "SLURM_TIME_FORMAT=%s")
    listing = (*epoch, "squeue", "-a", "--states=all")
    keep(f"squeue{mark}.txt", *listing, "-o", FIELDS)
    if is_whole:
        keep(f"squeue-long{mark}.txt", *listing, "-O", LONG_FIELDS)
    keep(f"scontrol{mark}.txt", "scontrol", "show", "job", "-d")
    if is_whole:
        keep(f"scontrol{mark}.json", "scontrol", "show", "job", str(jobs[0]), "--json")
    accounting = ("sacct", "-j", ids)
    text = (*epoch, "sacct", "-P", "-j", ids)
    keep(f"sacct{mark}.json", *accounting, "--json")
    same = f"sacct{mark}.json"
    keep(f"sacct-duplicates{mark}.json", *accounting, "--duplicates", "--json", unless_as=same)
    keep(f"sacct{mark}.txt", *text, "-o", ACCOUNTING_FIELDS)
    same = f"sacct{mark}.txt"
    duplicates = (*text, "--duplicates", "-o", ACCOUNTING_FIELDS)
    keep(f"sacct-duplicates{mark}.txt", *duplicates, unless_as=same)
    writer.note("# ---\n")


def _records(stdout: bytes) -> Any:
    """Return the job records of an answer, or the whole of a text."""
    try:
        return json.loads(stdout)["jobs"]
    except (ValueError, KeyError, TypeError):
        return stdout


def _failure(said: Said) -> list[str]:
    lines = [f"    exit status {said.status}"] if said.status else []
    return lines + [f"    stderr: {line}" for line in _text(said.stderr).splitlines()]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
