"""What commands do with a wrong, missing or partly wrong configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import call
from command_site import CommandSite

from spool.program import Program, Subcommand


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.mark.parametrize("verb", ["drain", "status", "list", "replay x"])
def test_all_configuration_errors_are_reported_together(site: CommandSite, verb: str) -> None:
    """Wrong keys and wrong paths are listed; the exit code is 78."""
    site.document["cc-backend"]["host"] = "https://cc.example.org/path/"
    site.document |= {"unknown": 1, "clustername": 5}
    site.document["spool"]["directory"] = f"{site.root}/none"
    site.token.chmod(0o644)
    site.write()
    name, *rest = verb.split()
    said = site.call(name, *rest)

    assert (78, "") == (said.code, said.out)
    for key in ("unknown", "clustername", "cc-backend.host", "cc-backend.token_file"):
        assert f"cc-spool: error:   {key}: " in said.err
    assert "spool.directory: " in said.err
    assert "5 problems" in said.err


def test_a_configuration_that_is_not_json_is_refused(site: CommandSite) -> None:
    """The exit code is 78."""
    site.config.write_text("{")

    assert 78 == site.call("status").code


@pytest.mark.parametrize("verb", ["status", "list", "retry ALL"])
def test_a_missing_token_does_not_prevent_spool_commands(site: CommandSite, verb: str) -> None:
    """`status`, `list` and `retry` help to repair what the missing token has caused."""
    site.token.unlink()

    assert 0 == site.call(*verb.split()).code


def test_a_missing_token_is_reported_together_with_wrong_keys(site: CommandSite) -> None:
    """`status` needs no token, but exits with 78 for a wrong key and then reports both problems."""
    site.token.unlink()
    site.document["unknown"] = 1
    site.write()
    said = site.call("status")

    assert 78 == said.code
    assert "2 problems" in said.err


def test_a_subcommand_may_read_the_configuration_itself(tmp_path: Path) -> None:
    """The program reads no configuration for a subcommand with `reads_own_config`."""
    (tmp_path / "judging.py").write_text(
        "def add_arguments(parser): parser.add_argument('--code', type=int)\n"
        "def run_without_config(args): return args.code + (str(args.config) == 'none')\n"
    )
    verb = Subcommand(name="judge", module="judging", help="judges", reads_own_config=True)
    program = Program(name="cc-test", about="Test.", subcommands=(verb,))
    sys.path.insert(0, str(tmp_path))
    try:
        said = call("judge", "-c", "none", "--code", "2", program=program.run)
    finally:
        sys.path.remove(str(tmp_path))

    assert 3 == said.code
