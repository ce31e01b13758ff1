"""How `make install` starts the commands: isolated and without module `site`."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FOLDERS = [str(ROOT), sysconfig.get_path("purelib")]
PATH_SETTING = f"import sys; sys.path += {_FOLDERS}"
PYTHON = (sys.executable, "-IS", "-c")
CC_SPOOL = (*PYTHON, f"{PATH_SETTING}; from spool.start import main; sys.exit(main())")
