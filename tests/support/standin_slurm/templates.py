"""Templates from the recordings of a release, which are filled with the stand-in's jobs."""

from __future__ import annotations

import functools
import json
import re
import tarfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "data"
SERIES = ("21.08", "22.05", "23.02", "23.11", "24.05", "24.11", "25.05", "25.11", "26.05")
_KINDS = {"plain": "lifecycle", "array": "array-running-pending", "het": "het-job"}


@functools.cache
def recordings(series: str) -> dict[str, bytes]:
    """Return all recordings of a release: `SCENARIO/FILE` to contents."""
    found: dict[str, bytes] = {}
    with tarfile.open(DATA / f"slurm-{series}.tar.xz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None:
                found["/".join(Path(member.name).parts[-2:])] = stream.read()
    return found


def templates_of(series: str, settings: dict[str, str]) -> dict[str, Any]:
    """Return the templates of a release; `settings` replace values of slurm.conf."""
    known = recordings(series)

    def text(name: str) -> str:
        return known[name].decode()

    config = text("cluster/scontrol-config.txt")
    for key, value in settings.items():
        config = re.sub(rf"(?m)^({key}(?:\[0\])?\s*= ).*", rf"\g<1>{value}", config)
    return {
        "squeue": _documents(series, known),
        "hides_sharing": "data_parser/v0.0.45",
        "scontrol": text("lifecycle/scontrol-2-running.txt"),
        "scontrol_pending": text("lifecycle/scontrol-1-pending.txt"),
        "version": text("cluster/squeue-version.txt"),
        "nodes": text("cluster/scontrol-nodes.txt"),
        "config": config,
    }


def _documents(series: str, known: dict[str, bytes]) -> dict[str, list[Any]]:
    """Return the document, a running job's and a pending job's record for each `--json` value."""
    running = json.loads(known["lifecycle/squeue-2-running.json"])
    (waiting,) = json.loads(known["lifecycle/squeue-1-pending.json"])["jobs"]
    documents = {"": [{**running, "jobs": []}, running["jobs"][0], waiting]}
    if series >= "23.11":
        parser = running["meta"]["plugin"]["data_parser"].rpartition("/")[2]
        documents[parser] = documents[""]
    if series == "26.05":  # its own parser omits sharing, so the program asks for the one before
        former = json.loads(known["data-parsers/squeue-v0.0.44.json"])
        record = former["jobs"][0]
        pending = {key: waiting.get(key, value) for key, value in record.items()}
        documents["v0.0.44"] = [{**former, "jobs": []}, record, pending]
    return documents


def hook_variables(series: str, kind: str, hook: str) -> dict[str, str]:
    """Return the environment that the release gave to PrologSlurmctld or EpilogSlurmctld.

    Args:
        series: the release.
        kind: of job: `plain`, `array`, `het`.
        hook: `prolog` or `epilog`.
    """
    recorded = recordings(series)[f"{_KINDS[kind]}/{hook}.env"].decode()
    return dict(item.split("=", 1) for item in recorded.split("\0") if item)
