"""The entry point of `cc-spool`: commands that are called often load fewer modules.

Nearly all of their CPU time goes into loading modules and into freeing what was loaded.
"""

from __future__ import annotations

import gc
import os
import sys
from types import ModuleType

_QUICK = frozenset({"status", "list", "show", "check"})
_SLOW = ("--full", "--log-file")
_RARELY_USED = (
    "logging",  # by us: there is seldom a message
    "inspect",  # by dataclasses
    "copy",  # the same
    "traceback",  # by logging
    "fnmatch",  # by pathlib
    "ntpath",  # the same
    "ipaddress",  # by urllib.parse
    "warnings",  # by importlib
)
_WITH_PATTERNS = ("argparse", "dataclasses", "json", "urllib.parse")


def main() -> int:
    """Run the command line of this process; return the exit code."""
    words = sys.argv[1:]
    is_slow = any(word.startswith(_SLOW) for word in words)
    if is_slow or not words or words[0] not in _QUICK:
        return _run()
    gc.disable()  # the process ends before a search for garbage would pay
    _defer()
    code = _run()
    os._exit(code)  # all output is written, so the interpreter need not free all objects (6 ms)


def _run() -> int:
    from spool.cli import main as run  # noqa: PLC0415 - loads what a quick command defers

    return run()


def _defer() -> None:
    """Delay rare imports, and compiling the patterns of some modules, until their first use."""
    import re  # noqa: PLC0415 - only now, when no garbage is collected

    from spool.deferred import DeferredModule, DeferredPattern  # noqa: PLC0415 - the same

    for name in _RARELY_USED:
        sys.modules.setdefault(name, DeferredModule(name))
    # all that dataclasses uses of it, since Python 3.12
    vars(sys.modules["inspect"]).setdefault("get_annotations", _own_annotations)
    sys.modules.setdefault("gettext", _untranslated())
    vars(re)["compile"], compile_now = DeferredPattern, re.compile
    for name in _WITH_PATTERNS:
        __import__(name)
    vars(re)["compile"] = compile_now


def _own_annotations(kind: type) -> dict[str, object]:
    return dict(vars(kind).get("__annotations__", {}))


def _untranslated() -> ModuleType:
    """Return a `gettext` module without translations: Python has none for argparse."""
    module = ModuleType("gettext")
    plural = {"ngettext": lambda one, many, count: one if count == 1 else many}
    vars(module).update({"gettext": str} | plural)
    return module
