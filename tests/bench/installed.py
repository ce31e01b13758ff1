"""The command line of `cc-spool` as `make install` writes it."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FOLDERS = [str(ROOT), sysconfig.get_path("purelib")]
_PROGRAM = f"import sys; sys.path += {_FOLDERS}; from spool.start import main; sys.exit(main())"
CC_SPOOL = (sys.executable, "-IS", "-c", _PROGRAM)
