"""The location of this installation: the system's directories, or one PREFIX.

`make install PREFIX=DIR` writes DIR to a file in the program's virtual environment, so that each
installation finds its own configuration, spool and state without options.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT_FILE = "cc-slurm-sync-root"


def installation_root(environment: Path | None = None) -> Path:
    """Return the directory above this installation's `etc` and `var`: `/`, or the PREFIX.

    `environment` is the virtual environment; None: the current one.
    """
    file = (Path(sys.prefix) if environment is None else environment) / ROOT_FILE
    try:
        root = Path(file.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return Path("/")
    return root if root.is_absolute() else Path("/")


ROOT = installation_root()
SETTINGS = ROOT / "etc/cc-slurm-sync"
HOOKS = ROOT / "etc/slurm/cc-slurm-sync"
SPOOL = ROOT / "var/spool/cc-slurm-sync"
STATE = ROOT / "var/lib/cc-slurm-sync"
