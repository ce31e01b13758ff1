"""Make a directory of wheels offline: build our wheel, pack its installed dependencies again.

`python tests/support/build_wheels.py DIRECTORY` builds only ours, for `make test-wheel`.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
_BUILD = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"


def build_wheel(target: Path) -> Path:
    """Build the wheel of this project into a directory; return its path."""
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return target / done.stdout.split()[-1]


def collect_wheels(target: Path) -> None:
    """Put our wheel and the wheels of all its run-time dependencies into a directory."""
    if (ROOT / "spool").is_dir():
        build_wheel(target)
    else:  # the tests run against an installed wheel, without the sources
        _pack(distribution("cc-slurm-sync"), target)
    for name in sorted(_needed("cc-slurm-sync", set())):
        _pack(distribution(name), target)


def _needed(name: str, known: set[str]) -> set[str]:
    """Return the names of all direct and indirect dependencies of a distribution."""
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name not in known:
            known.add(requirement.name)
            _needed(requirement.name, known)
    return known


def _pack(installed: Distribution, target: Path) -> None:
    """Pack an installed distribution as a wheel for every Python version.

    Compiled modules are omitted: the only distribution that has some works without them, and the
    Python that installs the wheel may have another version than ours.
    """
    name = installed.metadata["Name"].replace("-", "_")
    wheel = target / f"{name}-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in installed.files or []:
            is_ours = ".." not in file.parts and file.suffix not in {".pyc", ".so"}
            if is_ours and file.name not in {"INSTALLER", "REQUESTED", "direct_url.json"}:
                archive.write(str(file.locate()), str(file))


if __name__ == "__main__":
    build_wheel(Path(sys.argv[1]).resolve())
