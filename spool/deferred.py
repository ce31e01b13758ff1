"""Load modules and compile regular expressions only when they are first used.

For short-lived processes with one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from re import compile as _compile  # that of `re` may be replaced by `DeferredPattern`
from types import ModuleType

from slurm.type_names import Any


class DeferredModule(ModuleType):
    """A module that is loaded when a name in it is first used.

    `importlib.util.LazyLoader` would load it as soon as another module imports it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.next_steps: list[Callable[[], None]] = []

    def __getattr__(self, name: str) -> object:
        from importlib import reload  # noqa: PLC0415 - it loads warnings

        self.__class__ = ModuleType  # type: ignore[assignment]
        reload(self)
        for step in vars(self).pop("next_steps"):
            step()
        return getattr(self, name)


class DeferredPattern:
    """A regular expression that is compiled when it is first used."""

    def __init__(self, pattern: Any, flags: int = 0) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> object:
        return getattr(_compile(*self._given), name)


def when_loaded(module: ModuleType, step: Callable[[], None]) -> None:
    """Call `step` now if the module is loaded, otherwise as soon as it is loaded."""
    if isinstance(module, DeferredModule):
        module.next_steps.append(step)
    else:
        step()
