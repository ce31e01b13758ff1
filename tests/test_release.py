"""`make release`: what it refuses, and what a release consists of."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from package_lab import ROOT, require_tools

OLD, NEXT = "0.9.8", "0.9.9"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with this tree as its only commit, in a version before the release."""
    target = tmp_path / "tree"
    target.mkdir()
    names = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    copy = ["xargs", "-0", "cp", "--parents", "--no-dereference", "-t", str(target)]
    subprocess.run(copy, cwd=ROOT, input=names, check=True)
    set_version(target, OLD)
    set_heading(target, f"## {NEXT} - 2026-11-28")
    for argv in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All"]):
        git(target, *argv)
    return target


def git(clone: Path, *argv: str) -> None:
    """Run git as a test user."""
    who = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    subprocess.run(["git", *who, *argv], cwd=clone, check=True)


def set_version(clone: Path, version: str) -> None:
    """Write the version of a tree."""
    (clone / "spool/__init__.py").write_text(f'"""A spool."""\n\n__version__ = "{version}"\n')


def set_heading(clone: Path, heading: str) -> None:
    """Replace the first heading of the changelog."""
    path = clone / "CHANGELOG.md"
    path.write_text(re.sub(r"^## .*", heading, path.read_text(), count=1, flags=re.MULTILINE))


def release(clone: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run the target as a maintainer does."""
    return subprocess.run(
        ["make", "--no-print-directory", "release", f"VERSION={version}"],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )


def leave_a_file(clone: Path) -> None:
    """Leave a file that is not committed."""
    (clone / "new").touch()


def omit_the_heading(clone: Path) -> None:
    """Leave the changelog without a heading for the release."""
    set_heading(clone, "## Unreleased")
    git(clone, "commit", "-qam", "Unreleased")


def have_a_newer_version(clone: Path) -> None:
    """Set a version that is later than the release."""
    set_version(clone, "0.10.0")
    git(clone, "commit", "-qam", "Newer")


def have_the_tag(clone: Path) -> None:
    """Create the tag of the release."""
    git(clone, "tag", f"v{NEXT}")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (leave_a_file, "commit or remove this first: ?? new"),
        (omit_the_heading, f'is "## Unreleased": write "## {NEXT} - '),
        (have_a_newer_version, "the tree has version 0.10.0 already"),
        (have_the_tag, f"the tag v{NEXT} is there already"),
    ],
)
def test_make_release_refuses_an_unprepared_tree(
    clone: Path, prepare: Callable[[Path], None], reason: str
) -> None:
    """A file not committed, no heading, a later version or an existing tag: dist/ is not made."""
    prepare(clone)

    done = release(clone, NEXT)

    assert 2 == done.returncode
    assert reason in done.stderr
    assert not (clone / "dist").exists()


@pytest.mark.parametrize("version", ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x"])
def test_a_version_is_three_numbers(clone: Path, version: str) -> None:
    """`make release` refuses any other VERSION, such as 1.2 or v1.2.3."""
    done = release(clone, version)

    assert 2 == done.returncode
    assert "VERSION" in done.stderr


@pytest.mark.packages
def test_a_release_is_complete(clone: Path) -> None:
    """dist/ has both Python archives, both packages and the checksums, all of the new version."""
    require_tools()
    done = release(clone, NEXT)
    dist = clone / "dist"
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=dist, check=False)
    with zipfile.ZipFile(dist / f"cc_slurm_sync-{NEXT}-py3-none-any.whl") as wheel:
        text = wheel.read("spool/__init__.py").decode()

    assert (0, 0) == (done.returncode, checked.returncode), done.stderr
    assert [
        "SHA256SUMS",
        f"cc-slurm-sync-{NEXT}-1.noarch.rpm",
        f"cc-slurm-sync_{NEXT}-1_all.deb",
        f"cc_slurm_sync-{NEXT}-py3-none-any.whl",
        f"cc_slurm_sync-{NEXT}.tar.gz",
    ] == sorted(path.name for path in dist.iterdir())
    assert f'__version__ = "{NEXT}"' in text
    assert f"git tag -a v{NEXT}" in done.stdout
