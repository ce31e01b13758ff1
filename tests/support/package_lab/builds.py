"""The packages as `make deb rpm` builds them, and systems with the packages installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from package_lab.trees import install, require_tree

ROOT = Path(__file__).parents[3]
TOOLS = (
    *("dpkg-buildpackage", "dh", "dh_python3", "lintian", "rpmbuild", "rpmlint", "rpm"),
    *("systemd-nspawn", "mmdebstrap", "unshare", "nsenter"),
)
OLD, NEW = "0.8.9", "0.9.0"
"""Two versions of the package; the program is the same in both."""


def require_tools() -> None:
    """Skip the test if packages cannot be built and installed; fail it if `REQUIRE_SLURM=1`."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    text = "needs root" if os.geteuid() != 0 else ""
    text = text or (f"not installed: {', '.join(missing)}" if missing else "")
    if text and os.environ.get("REQUIRE_SLURM") == "1":
        pytest.fail(f"REQUIRE_SLURM is set, but: {text}")
    if text:
        pytest.skip(f"packages cannot be tried here: {text}")


def build_packages(output: Path, version: str, **environment: str) -> None:
    """Build both packages as the Makefile does."""
    done = subprocess.run(
        [str(ROOT / "packaging/build"), str(output), "deb", "rpm"],
        env=os.environ | {"VERSION": version, "SOURCE_DATE_EPOCH": "1790000000"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


@dataclass(frozen=True)
class Kit:
    """Packages and systems that all tests of a session share, each made on first use."""

    top: Path

    @classmethod
    def of(cls, factory: pytest.TempPathFactory) -> Kit:
        """Return the kit of this test session, the same in each of its processes."""
        require_tools()
        base = factory.getbasetemp()
        top = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packages"
        top.mkdir(exist_ok=True)
        return cls(top)

    def deb(self, version: str = NEW) -> Path:
        """Return the Debian package of a version."""
        return self._build(version) / f"cc-slurm-sync_{version}-1_all.deb"

    def rpm(self, version: str = NEW) -> Path:
        """Return the RPM package of a version."""
        return self._build(version) / f"cc-slurm-sync-{version}-1.noarch.rpm"

    def _build(self, version: str) -> Path:
        output = self.top / version
        with FileLock(self.top / "build.lock"):
            if not output.exists():
                build_packages(output, version)
        return output

    def layers(self, suite: str, version: str = NEW) -> tuple[Path, Path]:
        """Return the layers of a system with the package installed but not configured."""
        tree, layer = require_tree(suite), self.top / f"{suite}-{version}"
        package = self.deb(version)
        with FileLock(self.top / f"{layer.name}.lock"):
            if not layer.exists():
                (self.top / f"{layer.name}.said").write_text(install(tree, layer, package))
        return layer / "upper", tree

    def said(self, suite: str, version: str = NEW) -> str:
        """Return the output of the installation."""
        self.layers(suite, version)
        return (self.top / f"{suite}-{version}.said").read_text()
