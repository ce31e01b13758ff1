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
def test_the_installation_root_is_read_from_the_virtual_environment(
    tmp_path: Path, text: bytes | None, root: str
) -> None:
    """The root is `/` if its file is missing, empty or undecodable, or has a relative path."""
    if text is not None:
        (tmp_path / ROOT_FILE).write_bytes(text)

    assert Path(root) == installation_root(tmp_path)


def test_without_make_install_the_system_paths_are_used() -> None:
    """The paths are those in the README, such as /etc/cc-slurm-sync."""
    found = (installation.SETTINGS, installation.HOOKS, installation.SPOOL, installation.STATE)

    assert (
        "/etc/cc-slurm-sync",
        "/etc/slurm/cc-slurm-sync",
        "/var/spool/cc-slurm-sync",
        "/var/lib/cc-slurm-sync",
    ) == tuple(map(str, found))
