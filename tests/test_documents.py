"""Manual pages, completions and the table of keys are generated from the code, and valid."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import completion
import configuration_table
import manpages
import pytest
from config_keys import known_keys

from spool.cli import CC_SPOOL
from spool.program import Program
from sweeper.cli import CC_SWEEP

ROOT = Path(__file__).parent.parent
PROGRAMS = (CC_SPOOL, CC_SWEEP)
SECTIONS = ("EXAMPLES", "EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO")


def needs(program: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test where a program is missing, but not in CI."""
    is_missing = shutil.which(program) is None and "REQUIRE_SLURM" not in os.environ
    return pytest.mark.skipif(is_missing, reason=f"{program} is not installed")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Return all manual pages, with plain hyphens."""
    return {name: page.replace("\\-", "-") for name, page in manpages.pages().items()}


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of all completions."""
    directory = tmp_path_factory.mktemp("completion")
    completion.main(str(directory))
    return directory


@needs("mandoc")
def test_the_manual_pages_pass_mandoc_lint(pages: dict[str, str], tmp_path: Path) -> None:
    """Mandoc reports nothing, not even about style."""
    manpages.main(str(tmp_path))
    found = {
        name: subprocess.run(
            ["mandoc", "-T", "lint", str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for name in pages
    }

    assert dict.fromkeys(pages, "") == found


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_each_subcommand_and_exit_code_is_in_the_man_page(
    pages: dict[str, str], program: Program
) -> None:
    """A new subcommand or exit code cannot be forgotten; the usual sections are there, too."""
    page = pages[f"man8/{program.name}.8"]

    assert all(f'.SS "{program.name} {each.name}' in page for each in program.subcommands)
    assert all(f'.B "{code}"' in page for code in program.exit_codes)
    assert all(f".SH {section}\n" in page for section in SECTIONS)


def test_source_date_epoch_dates_the_man_pages(
    pages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without SOURCE_DATE_EPOCH a page has the date of the newest release in CHANGELOG.md."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")

    assert ".TH CC-SPOOL 8 1970-01-02 " in manpages.pages()["man8/cc-spool.8"]
    assert ".TH CC-SPOOL 8 20" in pages["man8/cc-spool.8"]


def test_each_key_is_in_the_man_page(pages: dict[str, str]) -> None:
    """cc-slurm-sync.json(5) has each key with its default."""
    page = pages["man5/cc-slurm-sync.json.5"]

    assert [] == [key for key in known_keys() if f'.BR "{key}" " (default: ' not in page]


def test_the_table_of_keys_is_up_to_date() -> None:
    """`make configuration` would not change docs/configuration.md."""
    page = (ROOT / "docs" / "configuration.md").read_text()

    assert configuration_table.with_table(page) == page


def test_the_table_of_keys_is_written_between_its_markers(tmp_path: Path) -> None:
    """The page's text before and after the table does not change."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{configuration_table.BEGIN}\nold\n{configuration_table.END}\nafter\n")
    configuration_table.main(str(page))
    text = page.read_text()

    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "\n| `clustername` | required | name of the cluster" in text
    assert "old\n" not in text


def completed(directory: Path, *words: str) -> list[str]:
    """Return what bash completes the last word to."""
    script = """
        source "$1/$2.bash"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        spec=$(complete -p "$1") && function=${spec##*-F } && ${function%% *} "$1" "${!#}" "$1"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", str(directory), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(done.stdout.split())


def test_bash_completes_subcommands(completions: Path) -> None:
    """`cc-spool` and `cc-sweep` each have their own subcommands."""
    assert ["replay", "retry"] == completed(completions, "cc-spool", "re")
    assert ["plan"] == completed(completions, "cc-sweep", "pl")


def test_bash_completes_options_and_values(completions: Path) -> None:
    """Options and values are those of the subcommand that was typed."""
    assert ["--limit"] == completed(completions, "cc-spool", "list", "--li")
    assert ["todo"] == completed(completions, "cc-spool", "list", "to")
    assert ["debug"] == completed(completions, "cc-spool", "status", "--log-level", "d")


@needs("fish")
def test_fish_completes_subcommands_and_options(completions: Path) -> None:
    """Each completion is shown with its help text."""
    script = f"source {completions}/cc-spool.fish; complete -C "

    def found(line: str) -> str:
        return subprocess.run(
            ["fish", "--no-config", "-c", f"{script}'{line}'"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert "discard\tremove dead letters permanently, without reporting them\n" == found(
        "cc-spool di"
    )
    assert found("cc-spool list --lim").startswith("--limit\tlist at most N files")
    assert found("cc-spool list to").startswith("todo\t")


def typed_in_zsh(functions: Path, line: str) -> str:
    """Return what an interactive zsh shows when a line is typed; the command prints its words."""
    ours, theirs = pty.openpty()
    start = f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D"
    keys = f'{start}; cc-spool() print -r -- "<${{(j:,:)@}}>"\n{line}\nexit\n'
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "vt100"},
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, keys.encode())
    shown = b""
    with suppress(OSError):  # Linux reports a closed other side as an error
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    shell.wait()
    return shown.decode()


@needs("zsh")
def test_zsh_completes_subcommands_options_and_values(completions: Path, tmp_path: Path) -> None:
    """The test sends real tab characters to an interactive shell."""
    (tmp_path / "_cc-spool").write_text((completions / "cc-spool.zsh").read_text())

    assert "\n<discard>\r\n" in typed_in_zsh(tmp_path, "cc-spool dis\t")
    assert "\n<list,--limit>\r\n" in typed_in_zsh(tmp_path, "cc-spool list --lim\t")
    assert "\n<list,todo>\r\n" in typed_in_zsh(tmp_path, "cc-spool list to\t")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["cc-spool", "cc-sweep"])
def test_each_shell_can_read_its_completions(completions: Path, program: str, shell: str) -> None:
    """`bash -n`, `zsh -n` and `fish -n` accept the completions of both programs."""
    if shutil.which(shell) is None and "REQUIRE_SLURM" not in os.environ:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, "-n", str(completions / f"{program}.{shell}")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("name", ["manpages", "completion"])
def test_man_pages_and_completions_are_written_to_a_directory(tmp_path: Path, name: str) -> None:
    """The test runs both programs as `make man` and `make completion` do."""
    subprocess.run(
        [sys.executable, str(ROOT / "packaging" / f"{name}.py"), str(tmp_path / "made")],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert [] != [*(tmp_path / "made").iterdir()]
