"""A run and a request for it, for tests of the reactions to replies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slurm.job import Job
from spool.deliver.pending_run import RequestKind
from spool.deliver.reaction import RequestContext
from spool.files.run import Run

NOW = 1_767_230_000
BEGAN = NOW - 600
RUN = Run(job=Job(job_id=7, user="ada", nodes=("n1",), start_time=BEGAN), start_time=BEGAN)
STARTED = replace(RUN, started=BEGAN + 1, cluster="alex")


def asked(kind: RequestKind, **facts: Any) -> RequestContext:
    """Return the context of a request that is answered now."""
    return RequestContext(kind=kind, now=NOW + 0.5, cluster="alex", **facts)
