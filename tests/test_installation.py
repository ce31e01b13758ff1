"""Where an installation's configuration, spool and state are."""

from __future__ import annotations

from pathlib import Path

import pytest

from spool import installation
from spool.installation import ROOT_FILE, installation_root


@pytest.mark.parametrize(
    ("text", "root"),
    [
        (b"/srv/trial\n", "/srv/trial"),
        (b"/\n", "/"),
        (b"", "/"),
        (b"trial", "/"),
        (b"\xff", "/"),
        (None, "/"),
    ],
)
def test_the_environment_has_the_root_of_the_installation(
    tmp_path: Path, text: bytes | None, root: str
) -> None:
    """An environment that `make install` did not create uses the system paths."""
    if text is not None:
        (tmp_path / ROOT_FILE).write_bytes(text)

    assert Path(root) == installation_root(tmp_path)


def test_this_environment_uses_the_system_paths() -> None:
    """The paths are those that the README names."""
    found = (installation.SETTINGS, installation.HOOKS, installation.SPOOL, installation.STATE)

    assert (
        "/etc/cc-slurm-sync",
        "/etc/slurm/cc-slurm-sync",
        "/var/spool/cc-slurm-sync",
        "/var/lib/cc-slurm-sync",
    ) == tuple(map(str, found))
