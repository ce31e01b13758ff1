"""Which modules a command loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_site import CommandSite, run_of

from spool.files.layout import Directory

HERE = Path(__file__).parent.parent
LIGHT = [
    ["status"],
    ["status", "--json"],
    ["list"],
    ["show", "5"],
    ["--help"],
    ["retry", "ALL"],
    ["discard", "ALL"],
]


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


def loaded_modules(site: CommandSite, words: list[str]) -> tuple[int, set[str]]:
    """Return the exit code of a command, and the modules that it loaded."""
    script = (
        "import json, os, sys; from spool.start import main\n"
        "sys.argv[1:], os._exit = json.loads(sys.argv[1]), sys.exit\n"
        "try: code = main()\n"
        "except SystemExit as end: code = end.code\n"
        "loaded = [name for name, each in sys.modules.items() if 'next_steps' not in vars(each)]\n"
        "print(code, *loaded, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps([*words, "-c", str(site.config)])],
        capture_output=True,
        text=True,
        check=True,
        cwd=HERE,
    )
    code, *modules = done.stderr.splitlines()[-1].split()
    return int(code), set(modules)


@pytest.mark.parametrize("words", LIGHT)
def test_spool_commands_load_no_heavy_library(site: CommandSite, words: list[str]) -> None:
    """Loading an HTTP library takes ten times as long as the command itself."""
    site.put(Directory.TODO, run_of(5))
    code, modules = loaded_modules(site, words)

    assert 0 == code
    assert set() == {"requests", "urllib3", "tenacity", "filelock", "tqdm"} & modules


@pytest.mark.parametrize("words", [["status"], ["list"], ["show", "5"], ["check"]])
def test_frequent_subcommands_load_few_modules(site: CommandSite, words: list[str]) -> None:
    """Imports take most of the time; `status` and `check` load no module that reads runs."""
    site.put(Directory.TODO, run_of(5))
    _, modules = loaded_modules(site, words)
    of_runs = {"slurm.job", "spool.files.run", "spool.files.inventory", "spool.files.event"}
    unwanted = {"typing", "shutil", "bz2", "lzma", "difflib", "subprocess", "importlib.metadata"}
    unwanted |= {"inspect", "copy", "ipaddress", "textwrap", "locale", "base64", "tempfile"}
    unwanted |= {"encodings.utf_8_sig", "math", "spool.files.durable_files"}
    unwanted |= {"spool.draft", "spool.deliver", "spool.drain", "spool.preflight", "slurm.errors"}
    if words[0] != "status":  # it warns of a site below /tmp
        unwanted |= {"logging", "warnings", "traceback", "threading", "string", "spool.log_output"}

    assert (of_runs if words[0] in {"list", "show"} else set()) == of_runs & modules
    assert set() == unwanted & modules
