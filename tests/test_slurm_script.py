"""`Slurm.script`: what scontrol prints when it has a script, has none, or may not show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from slurm.client import Slurm
from slurm.commands import CommandPaths
from slurm.errors import FailureReason, SlurmError
from slurm.process import CommandResult, Sink


def slurm(status: int, stdout: bytes, stderr: bytes) -> Slurm:
    """Return a Slurm whose commands all give the same answer."""

    def run(
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,
        sink: Sink | None = None,
    ) -> CommandResult:
        assert environment["LC_ALL"] == "C"
        assert timeout_seconds > 0
        assert limit_bytes > 0
        assert sink is None
        return CommandResult(tuple(argv), status, stdout, stderr)

    path = Path("/bin/x")
    return Slurm(CommandPaths(squeue=path, sacct=path, scontrol=path), run)


def test_script_is_returned_without_its_final_nul() -> None:
    """The NUL byte is added by scontrol; the rest of the batch script is returned unchanged."""
    assert "#!/bin/sh\n" == slurm(0, b"#!/bin/sh\n\0", b"").script(1)


@pytest.mark.parametrize("words", [b"Invalid user id", b"Access/permission denied"])
@pytest.mark.parametrize("status", [0, 1])
def test_script_of_another_user_is_denied(words: bytes, status: int) -> None:
    """Slurm 22.05 exits with 0 for a denied script, which must not count as an empty script."""
    asked = slurm(status, b"", b"job script retrieval failed: " + words + b"\n")
    with pytest.raises(SlurmError) as raised:
        asked.script(1)
    assert FailureReason.DENIED is raised.value.reason


@pytest.mark.parametrize("words", [b"Job script not specified", b"Invalid job id specified"])
def test_the_script_of_a_job_without_a_script_is_none(words: bytes) -> None:
    """For an interactive job, or one that the controller has forgotten, the script is None."""
    assert slurm(0, b"", b"job script retrieval failed: " + words + b"\n").script(1) is None


def test_script_is_unknown_while_the_controller_is_down() -> None:
    """A missing answer does not mean that there is no script."""
    words = b"Unable to contact slurm controller (connect failure)\n"
    with pytest.raises(SlurmError) as raised:
        slurm(0, b"", b"job script retrieval failed: " + words).script(1)
    assert FailureReason.UNREACHABLE is raised.value.reason
