"""The snippets for sudo, NRPE and Icinga in docs/monitoring.md are valid and fit each other."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import pytest
from alert_rules import ROOT

from spool.cli import CC_SPOOL

PAGE = (ROOT / "docs" / "monitoring.md").read_text()
(SUDOERS,) = re.findall(r"^    (nagios ALL=.*)$", PAGE, re.MULTILINE)
(NRPE,) = re.findall(r"^    command\[check_cc_slurm_sync\]=(.*)$", PAGE, re.MULTILINE)
(ICINGA,) = re.findall(r"^ +command = \[ (.*) \]$", PAGE, re.MULTILINE)
VISUDO = shutil.which("visudo") or "/usr/sbin/visudo"


@pytest.mark.skipif(
    shutil.which(VISUDO) is None and os.environ.get("REQUIRE_SLURM") != "1",
    reason="visudo is not installed (Debian: sudo)",
)
def test_sudo_accepts_the_rule() -> None:
    """`visudo -c` accepts the sudo rule of docs/monitoring.md as a file of its own."""
    done = subprocess.run(
        [VISUDO, "-c", "-f", "-"], input=f"{SUDOERS}\n", capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("words", [shlex.split(NRPE), shlex.split(ICINGA.replace(",", ""))])
def test_sudo_allows_the_command_of_the_plugin(words: list[str]) -> None:
    """NRPE and Icinga call sudo with the user and a command that the sudo rule allows."""
    runas, allowed = re.findall(r"ALL=\(([\w-]+)\) NOPASSWD: (.*)", SUDOERS)[0]

    assert ["/usr/bin/sudo", "-n", "-u", runas] == words[:4]
    assert " ".join(words[4:]) in allowed.split(", ")


def test_cc_spool_accepts_the_arguments_in_the_sudo_rule() -> None:
    """The parser knows every argument of the commands that the sudo rule allows."""
    for command in SUDOERS.partition("NOPASSWD: ")[2].split(", "):
        program, *words = shlex.split(command)
        _, unknown = CC_SPOOL.parser(words).parse_known_args(words)
        assert ("/usr/bin/cc-spool", []) == (program, unknown)
