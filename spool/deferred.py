"""Modules that are loaded when they are first used, for a process of one thread that ends soon."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType


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


def when_loaded(module: ModuleType, step: Callable[[], None]) -> None:
    """Do something that uses a module: now, or as soon as the module is loaded."""
    if isinstance(module, DeferredModule):
        module.next_steps.append(step)
    else:
        step()
