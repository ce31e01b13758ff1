"""The frame of both commands: options around the verb, what is loaded, what is refused."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call
from command_site import CommandSite, run_of

import spool
from spool import cli
from spool.cli import CC_SPOOL
from spool.files.layout import Directory
from spool.program import Program, Subcommand

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
def test_a_look_at_the_spool_loads_no_heavy_library(site: CommandSite, words: list[str]) -> None:
    """An HTTP library takes ten times as long to load as the answer."""
    site.put(Directory.TODO, run_of(5))
    code, modules = loaded_modules(site, words)

    assert 0 == code
    assert set() == {"requests", "urllib3", "tenacity", "filelock", "tqdm"} & modules


@pytest.mark.parametrize("words", [["status"], ["list"], ["show", "5"], ["check"]])
def test_the_verbs_that_are_called_often_load_little(site: CommandSite, words: list[str]) -> None:
    """Most of their time is that of the modules: `status` and `check` need no run."""
    site.put(Directory.TODO, run_of(5))
    _, modules = loaded_modules(site, words)
    of_runs = {"slurm.job", "spool.files.run", "spool.files.inventory", "spool.files.event"}
    of_runs |= {"typing"}
    unwanted = {"shutil", "bz2", "lzma", "difflib", "subprocess", "importlib.metadata"}
    unwanted |= {"inspect", "copy", "ipaddress", "textwrap", "locale", "base64", "tempfile"}
    unwanted |= {"spool.draft", "spool.deliver", "spool.drain", "spool.preflight", "slurm.errors"}
    if words[0] != "status":  # it warns of a site below /tmp
        unwanted |= {"logging", "traceback", "threading", "string", "spool.log_output"}

    assert (of_runs if words[0] in {"list", "show"} else set()) == of_runs & modules
    assert set() == unwanted & modules


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("position", [0, 1])
def test_options_stand_before_or_behind_the_verb(
    site: CommandSite, position: int, *, long: bool
) -> None:
    """Configuration, debugging, log file."""
    options = [
        *("--config" if long else "-c", str(site.config)),
        "--debug" if long else "-d",
        *("--log-file", f"{site.root}/log"),
    ]
    words = ["list", *options] if position else [*options, "list"]

    assert 0 == call(*words).code
    assert (site.root / "log").exists()


def test_the_option_behind_the_verb_counts(site: CommandSite, tmp_path: Path) -> None:
    """It was said last."""
    assert 0 == call("-c", tmp_path / "none", "list", "-c", site.config).code


def test_the_default_configuration_is_named_in_the_help() -> None:
    """Where an admin looks for it."""
    said = call("--help")

    assert 0 == said.code
    assert "/etc/cc-slurm-sync/config.json" in said.out


def test_every_verb_has_a_help() -> None:
    """With its own arguments."""
    helps = {verb.name: call(verb.name, "--help") for verb in CC_SPOOL.subcommands}

    assert {0} == {said.code for said in helps.values()}
    assert "--once" in helps["drain"].out
    assert "ID|ALL" in helps["retry"].out


def test_a_help_is_wrapped_at_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No path, no option and no example is broken; other lines fit into the terminal."""
    monkeypatch.setenv("COLUMNS", "50")
    lines = call("replay", "--help").out.splitlines()

    assert "  cc-spool replay /var/lib/cc-slurm-sync/delivered" in lines
    assert "                        /etc/cc-slurm-sync/config.json)" in lines
    assert [] == [line for line in lines if len(line) > 50 and " " in line.strip()[2:]][1:]


def test_a_help_ends_with_examples_and_exit_codes() -> None:
    """Of the command; those of a subcommand if they differ."""
    every, plugin, drain = (call(*words, "--help").out for words in ([], ["check"], ["drain"]))

    assert "\nexamples:\n  cc-spool status\n      show what is pending" in every
    assert "\nexit codes:\n  0   success\n" in every
    assert "\n  3   UNKNOWN: the check could not be run\n" in plugin
    assert "exit codes:" not in drain


@pytest.mark.parametrize("topic", [[], ["list"]])
def test_help_is_a_verb(topic: list[str]) -> None:
    """It shows what --help shows."""
    said = call("help", *topic)

    assert (0, call(*topic, "--help").out) == (said.code, said.out)


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
def test_a_mistake_gets_a_suggestion(words: list[str], hint: str) -> None:
    """The most similar command, option or value, if there is one."""
    said = call(*words)

    assert (2, "") == (said.code, said.out)
    assert hint in said.err


@pytest.mark.parametrize("words", [["--", "--xyzzy"], ["--no such thing"]])
def test_what_is_no_option_is_not_taken_for_one(site: CommandSite, words: list[str]) -> None:
    """Such as the name of a file behind `--`."""
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
    """The option has precedence."""
    site.put(Directory.TODO, run_of(5))
    site.put(Directory.TODO, run_of(6))
    site.document["log"] = {"level": configured}
    site.write()

    assert is_shown is ("1 more file not shown" in site.call("list", "--limit", "1", *options).err)


def test_the_form_of_the_log_is_that_of_the_configuration(site: CommandSite) -> None:
    """JSON, for example."""
    site.put(Directory.TODO, run_of(5))
    site.put(Directory.TODO, run_of(6))
    site.document["log"] = {"format": "json"}
    site.write()
    said = site.call("list", "--limit", "1")

    assert "info" == json.loads(said.err)["level"]


def test_the_version_is_told() -> None:
    """And no configuration is needed for it."""
    assert f"cc-spool {spool.__version__}\n" == call("--version").out


@pytest.mark.parametrize(
    "words",
    [[], ["unknown"], ["list", "--unknown"], ["list", "--js"], ["show"], ["retry"], ["replay"]],
)
def test_wrong_arguments_are_told(words: list[str]) -> None:
    """Exit code 2, nothing on stdout; no option may be abbreviated."""
    said = call(*words)

    assert (2, "") == (said.code, said.out)
    assert "usage: cc-spool" in said.err


ALL_WRONG = {
    "unknown": 1,
    "clustername": 5,
    "cc-backend": {"host": "https://cc.example.org/path/"},
}


@pytest.mark.parametrize("verb", ["drain", "status", "list", "replay x"])
def test_all_problems_of_a_configuration_come_at_once(site: CommandSite, verb: str) -> None:
    """Of its keys and of what they name; exit code 78."""
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


def test_what_is_no_configuration_is_told(site: CommandSite) -> None:
    """Exit code 78."""
    site.config.write_text("{")

    assert 78 == site.call("status").code


@pytest.mark.parametrize("verb", ["status", "list", "retry ALL"])
def test_a_bad_token_keeps_nobody_from_the_spool(site: CommandSite, verb: str) -> None:
    """Who looks after a halt must not be shut out by its cause."""
    site.token.unlink()

    assert 0 == site.call(*verb.split()).code


def test_problems_beside_the_spool_are_told_with_those_of_the_keys(site: CommandSite) -> None:
    """A configuration that is wrong in itself is refused, whatever is to be done."""
    site.token.unlink()
    site.document["unknown"] = 1
    site.write()
    said = site.call("status")

    assert 78 == said.code
    assert "2 problems" in said.err


def test_a_verb_may_judge_the_configuration_itself(tmp_path: Path) -> None:
    """As a check for monitoring does; then none is read."""
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


def test_the_module_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m spool.cli`, as the installed script."""
    monkeypatch.setattr(sys, "argv", ["cc-spool", "--version"])

    def program(_: object) -> int:
        runpy.run_path(cli.__file__, run_name="__main__")
        return 1

    assert (0, f"cc-spool {spool.__version__}\n") == (
        (said := call(program=program)).code,
        said.out,
    )


def test_words_of_the_process_are_taken_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed script passes none."""
    monkeypatch.setattr(sys, "argv", ["cc-spool", "--version"])

    assert 0 == call(program=lambda _: CC_SPOOL.run()).code


STREAMS = [">&-", ">/dev/full", "<&- >&-", "1</dev/null"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("words", ["status", "list --json", "check", "--help", "--version"])
def test_an_answer_that_nobody_can_get_is_an_error(
    site: CommandSite, words: str, streams: str, unbuffered: str
) -> None:
    """One line on stderr and exit code 74, whatever is written and however stdout is lost."""
    if words == "list --json":
        site.put(Directory.TODO, run_of(5))
    done = shell(f"{words} -c {site.config} {streams}", PYTHONUNBUFFERED=unbuffered)
    errors = [line for line in done.stderr.splitlines() if ": warning: " not in line]

    assert (74, 1) == (done.returncode, len(errors)), done.stderr
    assert errors[0].startswith("cc-spool: error: the output could not be written to stdout: ")


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_other_lost_streams_do_not_change_the_answer(site: CommandSite, streams: str) -> None:
    """Messages are dropped, and no file of ours takes the place of a stream."""
    done = shell(f"status --json -c {site.config} {streams}")

    assert 0 == done.returncode
    assert "counts" in json.loads(done.stdout)


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


@pytest.mark.parametrize(
    ("columns", "terminal", "width"), [("70", 90, 70), ("", 90, 90), ("", None, 80), ("x", 0, 80)]
)
def test_help_is_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, terminal: int | None, width: int
) -> None:
    """COLUMNS has precedence; 80 where neither says anything."""

    def size(_descriptor: int) -> os.terminal_size:
        if terminal is None:
            raise OSError("not a terminal")
        return os.terminal_size((terminal, 24))

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "get_terminal_size", size)
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    longest = max(map(len, CC_SPOOL.parser([]).format_help().splitlines()))

    assert width - 12 < longest < width
