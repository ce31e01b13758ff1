"""A Slurm whose answers may be wrong: text for the real client, changed by faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slurm.commands import CommandPaths
from slurm.decode.sacct_rows import SACCT_FIELDS, SACCT_SEPARATOR
from slurm.errors import SlurmError
from slurm.process import CommandResult

COMMANDS = CommandPaths(
    squeue=Path("/slurm/squeue"), sacct=Path("/slurm/sacct"), scontrol=Path("/slurm/scontrol")
)
AnswerFault = Callable[[CommandResult], CommandResult]


@dataclass(frozen=True)
class ListedRun:
    """One run in squeue and in sacct; `end` is 0 while it runs."""

    job_id: int
    start: int
    state: str = "RUNNING"
    end: int = 0
    user: str = "ada"
    in_squeue: bool = True
    accounted: str | None = None  # None: as `state`; "": no row
    qos: str = "normal"
    admin_comment: str = ""
    comment: str = ""

    def squeue(self) -> str:
        """Return the line of the run in squeue."""
        end = self.end or self.start + 86400
        head = f"{self.job_id}|{self.job_id}|N/A|{self.state}|{self.start}|{end}"
        return f"{head}|{self.start - 5}|1|work|{self.user}|p1|n1\n"

    def sacct(self, cluster: str) -> str:
        """Return the row of the run in sacct."""
        state = self.state if self.accounted is None else self.accounted
        fields = {
            "Cluster": cluster,
            "JobIDRaw": str(self.job_id),
            "JobID": str(self.job_id),
            "User": self.user,
            "UID": "1000",
            "Account": "p1",
            "Partition": "work",
            "State": state,
            "Submit": str(self.start - 5),
            "Start": str(self.start),
            "End": str(self.end) if self.end and state != "RUNNING" else "Unknown",
            "AllocCPUS": "4",
            "QOS": self.qos,
            "AdminComment": self.admin_comment,
            "Comment": self.comment,
            "NodeList": "n1",
        }
        return SACCT_SEPARATOR.join(fields.get(n, "") for n in SACCT_FIELDS.split(",")) + "\n"


@dataclass
class FaultySlurm:
    """A command runner for `slurm.client.Slurm`; `faults` change the answer to a question by name.

    `now` is the controller's clock, `own_clock` our clock where it differs.
    """

    now: int
    runs: list[ListedRun] = field(default_factory=list)
    faults: dict[str, AnswerFault] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    cluster: str = "lab"
    booted: int | None = None
    own_clock: int | None = None
    recorded: dict[str, str] = field(default_factory=dict)
    argv_bytes: list[int] = field(default_factory=list)

    @property
    def clock(self) -> int:
        """The clock of the sweep."""
        return self.now if self.own_clock is None else self.own_clock

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,
        sink: Callable[[bytes], object] | None = None,
    ) -> CommandResult:
        """Return the answer to a command, changed by a fault if there is one."""
        del environment, timeout_seconds, limit_bytes
        assert sink is None, "no question of a sweep streams"
        self.argv_bytes.append(sum(len(word) + 1 for word in argv))
        name = self._question(argv)
        text = self.recorded.get(name) or getattr(self, f"_{name}")(argv)
        answer = CommandResult(tuple(argv), 0, text.encode(), b"")
        fault = self.faults.get(name)
        return _separated(answer if fault is None else fault(answer))

    @staticmethod
    def _question(argv: Sequence[str]) -> str:
        command = Path(argv[0]).name
        if "--version" in argv:
            return "version"
        return {"scontrol": argv[1] if argv[1] == "ping" else "config"}.get(command, command)

    def _squeue(self, _argv: Sequence[str]) -> str:
        return "".join(run.squeue() for run in self.runs if run.in_squeue)

    def _sacct(self, argv: Sequence[str]) -> str:
        rows = [run for run in self.runs if run.accounted != ""]
        if "-j" in argv:
            ids = set(argv[argv.index("-j") + 1].split(","))
            rows = [run for run in rows if str(run.job_id) in ids]
        else:
            since = int(argv[argv.index("-S") + 1].removeprefix("uts"))
            rows = [run for run in rows if run.end >= since]
        return "".join(run.sacct(self.cluster) for run in rows)

    def configuration(self) -> str:
        """Return the output of `scontrol show config`."""
        booted = self.now - 9999 if self.booted is None else self.booted
        settings = {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "BOOT_TIME": str(booted),
            "ClusterName": self.cluster,
            "PrivateData": "none",
            "SlurmUser": "slurm(64030)",
            **self.settings,
        }
        lines = "".join(f"{name:<23} = {value}\n" for name, value in settings.items())
        return f"Configuration data as of {self.now}\n{lines}\nSlurmctld(primary) at ctl01 is UP\n"

    def _config(self, _argv: Sequence[str]) -> str:
        return self.configuration()

    def _version(self, _argv: Sequence[str]) -> str:
        return "slurm 22.05.8\n"

    def _ping(self, _argv: Sequence[str]) -> str:
        return "Slurmctld(primary) at ctl01 is UP\n"


def _separated(answer: CommandResult) -> CommandResult:
    """Replace our separator by the requested one."""
    asked = [word.partition("=")[2] for word in answer.argv if word.startswith("--delimiter=")]
    new = (asked or [SACCT_SEPARATOR])[0].encode()
    return replace(answer, stdout=answer.stdout.replace(SACCT_SEPARATOR.encode(), new))


def cut(at: float) -> AnswerFault:
    """Return a fault that truncates the answer after some bytes, or after a share of it."""

    def fault(result: CommandResult) -> CommandResult:
        place = at if isinstance(at, int) else int(len(result.stdout) * at)
        return replace(result, stdout=result.stdout[:place])

    return fault


def says(stdout: bytes = b"", *, stderr: bytes = b"", status: int = 0) -> AnswerFault:
    """Return a fault that replaces the whole answer."""
    return lambda result: replace(result, stdout=stdout, stderr=stderr, status=status)


def also(*, stderr: bytes = b"", status: int = 0) -> AnswerFault:
    """Return a fault that keeps the output and adds an error text or an exit status."""
    return lambda result: replace(result, stderr=stderr, status=status)


def changed(old: bytes, new: bytes) -> AnswerFault:
    """Return a fault that replaces a word of the output."""
    return lambda result: replace(result, stdout=result.stdout.replace(old, new))


def lines(keep: Callable[[bytes], bool]) -> AnswerFault:
    """Return a fault that omits lines of the output."""
    return lambda result: replace(
        result,
        stdout=b"".join(line for line in result.stdout.splitlines(keepends=True) if keep(line)),
    )


def fails(error: SlurmError) -> AnswerFault:
    """Return a fault that raises an error instead of an answer."""

    def fault(_reported: CommandResult) -> CommandResult:
        raise error

    return fault
