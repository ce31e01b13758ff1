"""A site in a temporary directory for tests of the commands: configuration, spool, state, token."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from command_line import Said, call
from empty_spool import make_directories

from slurm.job import Job, NodeAllocation
from spool.files import codec
from spool.files.dead_letter_reason import DeadLetterReason
from spool.files.dead_letters import move_file_to_dead
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run, waiting_since

NOON = 1_767_225_600
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjE5MDAwMDAwMDB9.c2lnbmF0dXJlLW9mLXRlc3Q"
REFUSED = LastError(
    time=NOON + 9,
    call="start",
    outcome="rejected",
    reason="bad request",
    message="no such subcluster",
    hint="correct cluster.json, then retry",
    request='{"jobId": 5}',
)


class CommandSite:
    """A site below one directory with everything that a command needs."""

    def __init__(self, root: Path) -> None:
        self.root, self.spool, self.state = root, root / "spool", root / "state"
        self.config, self.token = root / "config.json", root / "token"
        self.state.mkdir(parents=True)
        make_directories(self.spool)
        self.token.write_text(TOKEN + "\n")
        self.token.chmod(0o640)
        self.document: dict[str, Any] = {
            "clustername": "lab",
            "cc-backend": {"host": "http://127.0.0.1:9", "token_file": str(self.token)},
            "spool": {"directory": str(self.spool), "state_directory": str(self.state)},
        }
        self.write()

    def write(self) -> None:
        """Write the configuration file."""
        self.config.write_text(json.dumps(self.document))
        self.config.chmod(0o640)

    def call(self, verb: str, *arguments: object, **how: Any) -> Said:
        """Call `cc-spool` with this configuration."""
        return call(verb, "-c", self.config, *arguments, **how)

    def put(self, directory: Directory, run: Run) -> Run:
        """Write a run file to a directory of the spool."""
        path = self.spool / directory / run.name
        path.write_bytes(codec.encode(run))
        if directory is not Directory.DEAD:
            os.utime(path, (waiting_since(run), waiting_since(run)))
        return run

    def put_event(self, name: str, extras: str = "end\n", *, time: float = NOON) -> str:
        """Write an event to `new/`."""
        path = self.spool / "new" / name
        path.write_text(extras)
        os.utime(path, (time, time))
        return name

    def add_dead_letter(self, name: str, contents: bytes = b"odd", *, origin: str = "new") -> str:
        """Move a file that is not a run to `dead/`; return its name there."""
        (self.spool / origin / name).write_bytes(contents)
        why = DeadLetterReason(
            name=name,
            directory=Directory(origin),
            time=NOON,
            reason="not a valid name of an event file",
            hint="look at the file",
        )
        with Layout(self.spool) as layout:
            return move_file_to_dead(layout, why)

    def write_drain_state(self, **state: Any) -> None:
        """Write the state file of a drain."""
        document = {"pid": os.getpid(), "started": NOON, "updated": NOON, **state}
        (self.state / "drain.json").write_text(json.dumps(document))

    def names(self, directory: str) -> list[str]:
        """Return the names of the files in a directory of the spool."""
        return sorted(path.name for path in (self.spool / directory).iterdir())

    def files(self) -> dict[str, list[str]]:
        """Return the names of the files in each directory of the spool that has any."""
        found = {str(directory): self.names(directory) for directory in Directory}
        return {directory: names for directory, names in found.items() if names}

    def everything(self) -> bytes:
        """Return the names and contents of all files below the site except the token."""
        files = [path for path in self.root.rglob("*") if path.is_file() and path != self.token]
        return b"\n".join(bytes(path) + b"\n" + path.read_bytes() for path in files)


def run_of(job_id: int = 5, start_time: int = NOON, **fields: Any) -> Run:
    """Return a run of a job on one node."""
    job = Job(
        job_id=job_id,
        user="anna",
        account="physics",
        partition="main",
        start_time=start_time,
        nodes=("n1",),
        allocations=(NodeAllocation(name="n1", cores=(0, 1)),),
    )
    return Run(job=job, start_time=start_time, seen=start_time, **fields)
