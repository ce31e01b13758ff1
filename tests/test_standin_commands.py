"""Filters, refusals and forgotten jobs of the stand-in for Slurm are those of each release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_slurm import (
    SERIES,
)
from standin_recordings import Printer


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    """Return each release."""
    return str(request.param)


@pytest.fixture
def printer(
    series: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Printer:
    """Return the commands of a release without jobs."""
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%s")
    return Printer(tmp_path, series, capsys)


def refusal(printer: Printer, name: str, *argv: str) -> tuple[int, str]:
    """Return status and stderr of a command that prints nothing."""
    status, out, err = printer.all(name, *argv)
    assert out == ""
    return status, err


def ids_of(printed: str) -> list[int]:
    """Return the ids in a JSON answer."""
    return [record["job_id"] for record in json.loads(printed)["jobs"]]


def two_jobs(printer: Printer) -> tuple[int, int]:
    """Start one job and another that ends."""
    running = printer.controller.start({"n2cn001": [0]})
    ended = printer.controller.start({"n2cn002": [0]})
    printer.controller.end(ended)
    return running, ended


def test_json_filters_of_the_standin_work_as_in_the_release(printer: Printer, series: str) -> None:
    """Up to 22.05 no filter works, from 23.02 a single id, from 24.05 several ids and states."""
    running, ended = two_jobs(printer)
    third = printer.controller.start({"n2cn003": [0]})

    everything = [running, ended, third]
    several = [running, third] if series >= "24.05" else everything
    live = [running, third] if series >= "24.05" else everything
    one = [running] if series >= "23.02" else everything
    assert live == ids_of(printer("squeue", "-a", "--json"))
    assert one == ids_of(printer("squeue", "-a", "-t", "all", "--json", "-j", str(running)))
    ids = f"{running},{third}"
    assert several == ids_of(printer("squeue", "-a", "-t", "all", "--json", "-j", ids))


def test_the_standin_refuses_an_unknown_job_with_a_message(printer: Printer, series: str) -> None:
    """An unknown job id gives exit status 1 and a message, except for JSON up to 22.05."""
    words = "slurm_load_jobs error: Invalid job id specified\n"

    assert (1, words) == refusal(printer, "scontrol", "show", "job", "7", "-d")
    assert (1, words) == refusal(printer, "squeue", "-h", "-o", "%A", "-j", "7")
    if series >= "23.02":
        assert (1, words) == refusal(printer, "squeue", "--json", "-j", "7")
    else:
        assert [] == ids_of(printer("squeue", "--json", "-j", "7"))


def test_the_standin_reports_a_controller_that_is_down(printer: Printer, series: str) -> None:
    """JSON of 21.08 and 22.05 exits with 0 and an error inside, everything else with 1."""
    printer.controller.set_down(controller=True)

    assert 1 == refusal(printer, "squeue", "-h", "-o", "%A")[0]
    assert 1 == refusal(printer, "scontrol", "show", "config")[0]
    if series >= "23.02":
        assert 1 == refusal(printer, "squeue", "--json")[0]
    else:
        document = json.loads(printer("squeue", "--json"))
        assert ([], 1) == (document["jobs"], len(document["errors"]))


def test_a_job_purged_by_the_standin_is_only_in_accounting(printer: Printer) -> None:
    """Slurmctld purges an ended job after a while; squeue does not list it then."""
    running, ended = two_jobs(printer)
    printer.controller.forget(ended)

    listed = printer("squeue", "-a", "-h", "-t", "all", "-o", "%A").split()
    window = ("-S", "uts1000000", "-E", "uts9999999999")
    accounted = printer("sacct", "-X", "-P", "-n", *window, "-o", "JobIDRaw").split()
    assert [str(running)] == listed
    assert [str(running), str(ended)] == accounted


def test_the_standin_refuses_unsupported_options(printer: Printer) -> None:
    """An option that the program does not use must not succeed without an error."""
    printer.controller.start({"n2cn001": [0]})

    assert 1 == refusal(printer, "squeue", "--me")[0]
    assert 1 == refusal(printer, "sacct", "--json")[0]
    window = ("-S", "uts0", "-E", "uts1795330049")
    assert 1 == refusal(printer, "sacct", "-X", "-P", *window, "-o", "State")[0]
    assert 1 == refusal(printer, "squeue", "-h", "-O", "Nonsense:|")[0]
