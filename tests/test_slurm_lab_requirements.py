"""What the lab needs, and what a test reports where that is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from slurm_lab import require_slurm, require_tree, requirements, trees


def test_missing_slurm_skips_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without REQUIRE_SLURM the test is skipped, and the reason names what is missing."""
    monkeypatch.setattr(requirements, "what_is_missing", lambda: "needs root")
    monkeypatch.delenv("REQUIRE_SLURM", raising=False)

    with pytest.raises(pytest.skip.Exception, match="needs root"):
        require_slurm()


def test_missing_slurm_fails_a_test_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """With REQUIRE_SLURM=1 a missing Slurm is a failure."""
    monkeypatch.setattr(requirements, "what_is_missing", lambda: "not installed: slurmctld")
    monkeypatch.setenv("REQUIRE_SLURM", "1")

    with pytest.raises(pytest.fail.Exception, match="slurmctld"):
        require_slurm()


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names a missing slurmctld, for example; missing root rights come first."""
    monkeypatch.setattr(requirements, "PATH", "/nonexistent")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    named = requirements.what_is_missing()
    monkeypatch.setattr(os, "geteuid", lambda: 1)

    assert "slurmctld" in named
    assert requirements.what_is_missing() == "needs root"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "# deb http://no/\ndeb [arch=amd64] http://mirror/debian x main\n"),
        ("sources.list.d/a.sources", "Types: deb\nURIs: http://mirror/debian\nSuites: x\n"),
    ],
)
def test_the_debian_mirror_is_read_from_apt(tmp_path: Path, name: str, text: str) -> None:
    """The mirror of sources.list or of sources.list.d/*.sources is used, read at run time."""
    (tmp_path / "sources.list.d").mkdir()
    before = trees.mirror(tmp_path)
    (tmp_path / name).write_text(text)

    assert (None, "http://mirror/debian") == (before, trees.mirror(tmp_path))


def test_a_missing_slurm_release_skips_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason has release, Debian suite and `make test-all`; a tree in the cache is used."""
    monkeypatch.setenv("SLURM_LAB_CACHE", str(tmp_path))
    monkeypatch.delenv("SLURM_LAB_BUILD", raising=False)

    with pytest.raises(pytest.skip.Exception, match=r"24\.11 .*trixie.*make test-all"):
        require_tree("24.11")
    (tmp_path / "trixie").mkdir()

    assert (None, tmp_path / "trixie") == (require_tree("here"), require_tree("24.11"))


def test_a_slurm_release_that_cannot_be_built_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason has the message of mmdebstrap, and no incomplete suite stays in the cache."""
    tool = tmp_path / "mmdebstrap"
    tool.write_text("#!/bin/sh\necho no such suite >&2\nexit 25\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SLURM_LAB_BUILD", "1")
    monkeypatch.setattr(trees, "mirror", lambda: "http://mirror/debian")

    with pytest.raises(pytest.skip.Exception, match=r"26\.05 .*forky.*no such suite"):
        require_tree("26.05")
    assert [] == [*(tmp_path / "cache").iterdir()]
