"""Options before and after the subcommand, mistakes in them, and the log."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from command_line import call
from command_site import CommandSite, run_of

import spool
from spool import cli
from spool.cli import CC_SPOOL
from spool.files.layout import Directory


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("position", [0, 1])
def test_options_before_or_after_the_subcommand_are_accepted(
    site: CommandSite, position: int, *, long: bool
) -> None:
    """-c (--config), -d (--debug) and --log-file have the same effect in both places."""
    options = [
        *("--config" if long else "-c", str(site.config)),
        "--debug" if long else "-d",
        *("--log-file", f"{site.root}/log"),
    ]
    words = ["list", *options] if position else [*options, "list"]

    assert 0 == call(*words).code
    assert (site.root / "log").exists()


def test_the_option_after_the_subcommand_has_precedence(site: CommandSite, tmp_path: Path) -> None:
    """If `-c` is before and after the subcommand, the last value counts."""
    assert 0 == call("-c", tmp_path / "none", "list", "-c", site.config).code


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["lst"], "unknown value 'lst'; did you mean list? (choose from drain, status, list,"),
        (["help", "lst"], "unknown value 'lst'; did you mean list?"),
        (["list", "tdo"], "unknown value 'tdo'; did you mean todo?"),
        (["list", "--lmit", "5"], "unknown argument --lmit; did you mean --limit?"),
        (["list", "--lmit=5"], "unknown argument --lmit=5; did you mean --limit?"),
        (["--confg", "x", "list"], "unknown argument --confg; did you mean --config?"),
        (["--confg", "x"], "unknown argument --confg; did you mean --config?"),
        (["show", "5", "-x"], "unknown argument -x\n"),
        (["show", "5", "chek"], "unknown argument chek; did you mean check?"),
        (["show", "xyzzy", "xyzzy"], "unknown argument xyzzy\n"),
    ],
)
def test_a_mistyped_argument_gets_a_suggestion(words: list[str], hint: str) -> None:
    """The error names the most similar command, option or value, if there is one."""
    said = call(*words)

    assert (2, "") == (said.code, said.out)
    assert hint in said.err


@pytest.mark.parametrize("words", [["--", "--xyzzy"], ["--no such thing"]])
def test_a_file_name_or_text_is_not_reported_as_an_unknown_option(
    site: CommandSite, words: list[str]
) -> None:
    """Examples are an argument after `--`, and a text with spaces that begins with `--`."""
    assert "unknown argument" not in site.call("show", *words).err


@pytest.mark.parametrize(
    ("configured", "options", "is_shown"),
    [
        ("info", [], True),
        ("error", [], False),
        ("error", ["--log-level", "info"], True),
        ("debug", ["--log-level", "error"], False),
        ("error", ["-d"], True),
    ],
)
def test_the_level_of_the_log_is_that_of_option_or_configuration(
    site: CommandSite, configured: str, options: list[str], *, is_shown: bool
) -> None:
    """--log-level and -d have precedence over `log.level` of the configuration."""
    site.put(Directory.TODO, run_of(5))
    site.put(Directory.TODO, run_of(6))
    site.document["log"] = {"level": configured}
    site.write()

    assert is_shown is ("1 more file not shown" in site.call("list", "--limit", "1", *options).err)


def test_the_format_of_the_log_is_that_of_the_configuration(site: CommandSite) -> None:
    """With `log.format` set to json, a message on stderr is a JSON object."""
    site.put(Directory.TODO, run_of(5))
    site.put(Directory.TODO, run_of(6))
    site.document["log"] = {"format": "json"}
    site.write()
    said = site.call("list", "--limit", "1")

    assert "info" == json.loads(said.err)["level"]


def test_the_version_is_printed() -> None:
    """`cc-spool --version` needs no configuration."""
    assert f"cc-spool {spool.__version__}\n" == call("--version").out


@pytest.mark.parametrize(
    "words",
    [[], ["unknown"], ["list", "--unknown"], ["list", "--js"], ["show"], ["retry"], ["replay"]],
)
def test_wrong_arguments_are_reported(words: list[str]) -> None:
    """The exit code is 2 and stdout is empty; options cannot be abbreviated."""
    said = call(*words)

    assert (2, "") == (said.code, said.out)
    assert "usage: cc-spool" in said.err


def test_the_module_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m spool.cli` works like the installed script."""
    monkeypatch.setattr(sys, "argv", ["cc-spool", "--version"])

    def program(_: object) -> int:
        runpy.run_path(cli.__file__, run_name="__main__")
        return 1

    assert (0, f"cc-spool {spool.__version__}\n") == (
        (said := call(program=program)).code,
        said.out,
    )


def test_the_arguments_of_the_process_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CC_SPOOL.run()` uses sys.argv: the installed script passes no arguments."""
    monkeypatch.setattr(sys, "argv", ["cc-spool", "--version"])

    assert 0 == call(program=lambda _: CC_SPOOL.run()).code
