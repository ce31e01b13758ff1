"""`requests` is loaded without modules that are not used, unless it needs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def output_of(script: str, *paths: Path) -> tuple[str, str]:
    """Return stdout and stderr of a script in a new Python; `paths` come first in `sys.path`."""
    script = f"import sys; sys.path[1:1] = {[str(path) for path in paths]}; {script}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    return done.stdout, done.stderr


def test_encoding_guessers_and_importlib_metadata_are_not_loaded() -> None:
    """Answers are UTF-8, so their encoding is never guessed."""
    script = (
        "import ccbackend.wire.transport; "
        "unused = {'chardet', 'charset_normalizer', 'importlib.metadata'}; "
        "print(unused & set(sys.modules))"
    )

    assert ("set()\n", "") == output_of(script)


def test_modules_not_loaded_can_still_be_imported() -> None:
    """Other code can import charset_normalizer and importlib.metadata after our transport."""
    script = (
        "import ccbackend.wire.transport, charset_normalizer; "
        "from importlib.metadata import version; print(bool(version('requests')))"
    )

    assert ("True\n", "") == output_of(script)


def test_a_module_loaded_before_stays_loaded() -> None:
    """The program that imports our package may use importlib.metadata already."""
    script = (
        "import importlib.metadata as before, ccbackend.wire; "
        "print(sys.modules['importlib.metadata'] is before)"
    )

    assert ("True\n", "") == output_of(script)


@pytest.mark.parametrize(
    "need",
    [
        "from importlib.metadata import PackageNotFoundError",
        "import importlib.metadata; importlib.metadata.version('pip')",
        "from importlib.metadata import version; version('pip')",
    ],
)
def test_requests_is_loaded_with_all_modules_if_it_needs_them(tmp_path: Path, need: str) -> None:
    """A `requests` that needs importlib.metadata is imported a second time, without omissions."""
    package = tmp_path / "requests"
    package.mkdir()
    (package / "__init__.py").write_text(f"{need}\nprint('loaded')\n")

    assert ("loaded\n", "") == output_of("import ccbackend.wire", tmp_path)
