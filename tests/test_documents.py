"""Manual pages and completions are made from the parsers and are valid for their readers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from spool import exit_codes
from spool.cli import CC_SPOOL
from spool.config.read import keys_of
from spool.config.schema import Config
from sweeper.cli import CC_SWEEP

ROOT = Path(__file__).parent.parent
PROGRAMS = (CC_SPOOL, CC_SWEEP)


def maker(name: str) -> ModuleType:
    """Return a module of packaging/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "packaging" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(program: str) -> pytest.MarkDecorator:
    """Skip visibly where a program is missing, not in CI."""
    is_missing = shutil.which(program) is None and "REQUIRE_SLURM" not in os.environ
    return pytest.mark.skipif(is_missing, reason=f"{program} is not installed")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Return all manual pages."""
    made: dict[str, str] = maker("manpages").pages()
    return made


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of all completions."""
    directory = tmp_path_factory.mktemp("completion")
    maker("completion").main(str(directory))
    return directory


@needs("mandoc")
def test_the_manual_pages_are_clean(pages: dict[str, str], tmp_path: Path) -> None:
    """The strictest reader has nothing to say."""
    maker("manpages").main(str(tmp_path))
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
def test_each_subcommand_and_exit_code_is_in_the_page(pages: dict[str, str], program) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a Program
    """None is forgotten when one is added."""
    page = pages[f"man8/{program.name}.8"].replace("\\-", "-")
    codes = {value for name, value in vars(exit_codes).items() if name.isupper()}

    assert all(f'.SS "{program.name} {each.name}' in page for each in program.subcommands)
    assert all(f'.B "{code}"' in page for code in codes)
    assert all(
        f".SH {section}" in page
        for section in ("EXAMPLES", "EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO")
    )


def test_each_key_is_in_the_page_of_the_configuration(pages: dict[str, str]) -> None:
    """With its default."""
    page = pages["man5/cc-slurm-sync.json.5"].replace("\\-", "-")
    keys = [name for name, field in keys_of(Config) if "section" not in field.metadata]

    assert [key for key in keys if f'.BR "{key}" ' not in page] == []


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
    """Those of each command."""
    assert completed(completions, "cc-spool", "re") == ["replay", "retry"]
    assert completed(completions, "cc-sweep", "pl") == ["plan"]


def test_bash_completes_options_and_values(completions: Path) -> None:
    """Of the subcommand that was typed."""
    assert completed(completions, "cc-spool", "list", "--li") == ["--limit"]
    assert completed(completions, "cc-spool", "list", "to") == ["todo"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("program", ["cc-spool", "cc-sweep"])
def test_other_shells_can_read_theirs(completions: Path, program: str, shell: str) -> None:
    """Their own parser accepts the file."""
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
def test_a_maker_writes_its_files(tmp_path: Path, name: str) -> None:
    """As `make man` and `make completion` call it."""
    subprocess.run(
        [sys.executable, str(ROOT / "packaging" / f"{name}.py"), str(tmp_path / "made")],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert [*(tmp_path / "made").iterdir()] != []
