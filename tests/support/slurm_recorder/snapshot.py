"""Record a live cluster once, with read-only commands; names are replaced before writing."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from slurm_recorder.names import Pseudonyms
from slurm_recorder.recording_writer import RecordingWriter, Said, jobs_at

# Fields that a user or the site chose, by the kind of their pseudonym (squeue(1)).
CHOSEN = {"user": "%u", "group": "%g", "account": "%a", "job": "%j", "text": "%k", "file": "%o"}
CHOSEN |= {"place": "%Z", "feature": "%f", "reservation": "%v", "wckey": "%w", "partition": "%P"}
MOST_JOBS = 50


def snapshot(folder: Path) -> Path:
    """Record the live cluster that the commands on the path reach; return the folder.

    The first 50 jobs are asked about one by one; listings hold all of them.
    """
    release = _ask("squeue", "--version").split()[-1]
    series = ".".join(release.split(".")[:2])
    found = Pseudonyms(
        {kind: _lines("squeue", "-h", "-a", "-t", "all", "-o", f) for kind, f in CHOSEN.items()}
        | {"cluster": _cluster(), "output": _paths()},
        _lines("sinfo", "-h", "-N", "-o", "%N"),
    )
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "site"
        writer = RecordingWriter(raw, _run)
        writer.head(release, "a live cluster, names replaced")
        jobs = [int(line) for line in _lines("squeue", "-h", "-a", "-t", "all", "-o", "%A")]
        jobs_at(writer, "", list(dict.fromkeys(jobs))[:MOST_JOBS] or [1])
        writer.keep("scontrol-nodes.txt", "scontrol", "show", "node", "-d")
        writer.close()
        target = folder / series / "site"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in raw.iterdir():
            (target / path.name).write_bytes(found.hide(path.read_bytes()))
    return target


def _cluster() -> list[str]:
    lines = _lines("scontrol", "show", "config")
    wanted = ("ClusterName", "SlurmctldHost", "AccountingStorageHost")
    values = [line.partition("=")[2].strip() for line in lines if line.startswith(wanted)]
    return [part for value in values for part in value.replace("(", " ").replace(")", " ").split()]


def _paths() -> list[str]:
    """Return the files that jobs read and write; squeue prints them only with -O."""
    fields = "STDOUT:|,STDERR:|,STDIN:|"
    lines = _lines("squeue", "-h", "-a", "-t", "all", "-O", fields)
    return [part for line in lines for part in line.split("|") if part]


def _lines(*argv: str) -> list[str]:
    return [line for line in _ask(*argv).splitlines() if line]


def _ask(*argv: str) -> str:
    return _run(argv, "").stdout.decode("utf-8", "surrogateescape")


def _run(argv: Sequence[str], _user: str) -> Said:
    done = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return Said(done.returncode, done.stdout, done.stderr)
