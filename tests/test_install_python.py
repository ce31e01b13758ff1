"""The Python that an installation uses, and the names of our packages."""

from __future__ import annotations

import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest
from install_site import DEPLOY

PACKAGES = {"slurm", "ccbackend", "spool", "sweeper"}


def fake_python(directory: Path, name: str, status: int) -> Path:
    """Make an interpreter that exits with 0 if it is new enough, else with 1."""
    path = directory / name
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return path


def find_python(directory: Path, *wanted: str) -> subprocess.CompletedProcess[str]:
    """Run find_python with only the interpreters of a directory in PATH."""
    return subprocess.run(
        ["/bin/sh", str(DEPLOY / "find_python"), *wanted],
        env={"PATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"python3": 0, "python3.12": 0}, "python3"),
        ({"python3": 1, "python3.11": 0, "python3.12": 0}, "python3.12"),
        ({"python3": 1, "python3.12": 1, "python3.11": 0}, "python3.11"),
        ({"python3.11": 0}, "python3.11"),
    ],
)
def test_a_newer_python_is_found_beside_an_old_one(
    tmp_path: Path, there: dict[str, int], expected: str
) -> None:
    """The system's Python is used if it is new enough, else 3.12, else 3.11."""
    for name, status in there.items():
        fake_python(tmp_path, name, status)

    assert f"{tmp_path / expected}\n" == find_python(tmp_path).stdout


@pytest.mark.parametrize("wanted", [(), ("python3.12",)])
def test_a_missing_python_is_named(tmp_path: Path, wanted: tuple[str, ...]) -> None:
    """Without a Python that is new enough the message names a package to install."""
    fake_python(tmp_path, "python3", 1)

    done = find_python(tmp_path, *wanted)

    assert (1, "") == (done.returncode, done.stdout)
    assert "to install one: " in done.stderr
    assert all(name in done.stderr for name in wanted)


def test_no_other_distribution_has_a_module_with_a_name_of_this_project() -> None:
    """Two packages with modules of the same name would overwrite each other."""
    others = {
        (found.metadata["Name"], file.parts[0].removesuffix(".py"))
        for found in distributions()
        if found.metadata["Name"] != "cc-slurm-sync"
        for file in found.files or []
    }

    assert set() == {(name, top) for name, top in others if top in PACKAGES}
