"""A command whose stdin, stdout or stderr is closed, full or read-only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_site import CommandSite, run_of

from spool.files.layout import Directory

HERE = Path(__file__).parent.parent


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


STREAMS = [">&-", ">/dev/full", "<&- >&-", "1</dev/null"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("words", ["status", "list --json", "check", "--help", "--version"])
def test_output_that_cannot_be_written_is_an_error(
    site: CommandSite, words: str, streams: str, unbuffered: str
) -> None:
    """There is one line on stderr and exit code 74, for any output and any broken stdout."""
    if words == "list --json":
        site.put(Directory.TODO, run_of(5))
    done = shell(f"{words} -c {site.config} {streams}", PYTHONUNBUFFERED=unbuffered)
    errors = [line for line in done.stderr.splitlines() if ": warning: " not in line]

    assert (74, 1) == (done.returncode, len(errors)), done.stderr
    assert errors[0].startswith("cc-spool: error: the output could not be written to stdout: ")


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_a_broken_stdin_or_stderr_does_not_change_the_output(
    site: CommandSite, streams: str
) -> None:
    """Messages are dropped, and no file that the program opens becomes a standard stream."""
    done = shell(f"status --json -c {site.config} {streams}")

    assert 0 == done.returncode
    assert "counts" in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "text"),
    [("draft-gpus n1", "there is no GPU in the input"), ("discard 5", "--yes")],
)
def test_a_closed_stdin_is_treated_as_empty(site: CommandSite, words: str, text: str) -> None:
    """The message says what is expected, as for any wrong input."""
    site.put(Directory.DEAD, run_of(5))
    done = shell(f"{words} -c {site.config} <&-")

    assert (2, True) == (done.returncode, text in done.stderr), done.stderr


def shell(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `cc-spool` with the words of a shell's line, as the installed script does."""
    launcher = "import sys; from spool.start import main; sys.exit(main())"
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -c '{launcher}' {words}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
