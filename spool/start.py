"""The entry point of `cc-spool`: commands that are called often start with less.

Nearly all of their CPU time goes into loading modules and into freeing what was loaded.
"""

from __future__ import annotations

import gc
import sys
from importlib import reload
from types import ModuleType

_QUICK = frozenset({"status", "list", "show", "check"})
_RARELY_USED = ("inspect", "traceback", "ipaddress")  # by dataclasses, logging and urllib.parse


class DeferredModule(ModuleType):
    """A module that is loaded when a name in it is first used; only for a process of one thread.

    `importlib.util.LazyLoader` would load it as soon as another module imports it.
    """

    def __getattr__(self, name: str) -> object:
        self.__class__ = ModuleType  # type: ignore[assignment]
        return getattr(reload(self), name)


def main() -> int:
    """Run the command line of this process; return the exit code."""
    words = sys.argv[1:]
    is_quick = words[:1] != [] and words[0] in _QUICK and "--full" not in words
    if is_quick:
        gc.disable()  # the process ends before a search for garbage would pay
        for name in _RARELY_USED:
            sys.modules.setdefault(name, DeferredModule(name))
        sys.modules.setdefault("gettext", _untranslated())
    from spool.cli import main as run  # noqa: PLC0415 - loads modules that use those above

    code = run()
    if is_quick:
        gc.freeze()  # else the interpreter searches all objects once more before it ends
    return code


def _untranslated() -> ModuleType:
    """Return a `gettext` that does not look for translations of argparse; Python has none."""
    module = ModuleType("gettext")
    plural = {"ngettext": lambda one, many, count: one if count == 1 else many}
    vars(module).update({"gettext": str} | plural)
    return module
