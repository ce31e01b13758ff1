"""The installed `cc-spool`: quick commands load and collect less, other commands start as usual."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from command_line import call

from spool import cli, start
from spool.deferred import DeferredModule, DeferredPattern, when_loaded


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Enable the garbage collector again after the test."""
    yield
    gc.enable()


@pytest.fixture
def rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeferredModule:
    """Return a deferred module that counts how often it is loaded."""
    (tmp_path / "rarely_used.py").write_text("import sys\nANSWER = 42\nsys.loads.append(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "loads", [], raising=False)
    module = DeferredModule("rarely_used")
    monkeypatch.setitem(sys.modules, "rarely_used", module)
    return module


def loads() -> int:
    """Return how often the module was loaded."""
    return len(vars(sys)["loads"])


def test_an_import_does_not_load_a_deferred_module(rare: DeferredModule) -> None:
    """An `import` statement only binds the deferred module."""
    __import__("rarely_used")

    assert 0 == loads()
    assert sys.modules["rarely_used"] is rare


def test_a_deferred_module_is_loaded_once(rare: DeferredModule) -> None:
    """The first use of one of its names loads the module; later uses do not."""
    assert (42, 42, 1) == (rare.ANSWER, rare.ANSWER, loads())


def test_when_loaded_waits_for_a_deferred_module(rare: DeferredModule) -> None:
    """The function runs after the module is loaded, or at once if the module is already loaded."""
    done: list[str] = []
    when_loaded(rare, lambda: done.append(f"first, loads: {loads()}"))
    when_loaded(sys, lambda: done.append(f"at once, loads: {loads()}"))
    assert 42 == rare.ANSWER

    assert ["at once, loads: 0", "first, loads: 1"] == done


def test_a_missing_name_of_a_deferred_module_is_an_error(rare: DeferredModule) -> None:
    """The error is an AttributeError; `from ... import` makes an ImportError of it."""
    with pytest.raises(AttributeError, match="rarely_used"):
        _ = rare.QUESTION


def test_a_deferred_pattern_is_compiled_when_it_is_used() -> None:
    """A mistake in the regular expression is therefore found only at its first use."""
    found = DeferredPattern("(a+)(b", re.IGNORECASE)
    with pytest.raises(re.error):
        _ = found.match

    assert re.compile("(a+)b", re.IGNORECASE).sub == DeferredPattern("(a+)b", re.IGNORECASE).sub


@pytest.mark.parametrize(
    ("words", "is_quick"),
    [
        (["status", "--help"], True),
        (["check", "--full", "--help"], False),
        (["drain", "--help"], False),
        (["--help"], False),
        ([], False),
    ],
)
def test_only_quick_commands_disable_garbage_collection(
    monkeypatch: pytest.MonkeyPatch, words: list[str], *, is_quick: bool
) -> None:
    """`status` ends with `os._exit`; other commands run long or with several threads."""
    ended: list[int] = []
    monkeypatch.setattr(sys, "argv", ["cc-spool", *words])
    monkeypatch.setattr(os, "_exit", ended.append)
    compile_now = re.compile
    code = call(program=lambda _: start.main()).code

    assert is_quick is not gc.isenabled()
    assert re.compile is compile_now
    assert [0] * is_quick == ended
    assert is_quick or code == (0 if words else 2)


def test_dataclasses_do_not_load_inspect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since Python 3.12 dataclasses use `inspect.get_annotations`; `status` provides its own."""
    inspect = ModuleType("inspect")
    found: list[object] = []

    def command() -> int:
        found.append(vars(inspect)["get_annotations"](_Annotated))
        return 0

    monkeypatch.setattr(sys, "argv", ["cc-spool", "status"])
    monkeypatch.setattr(os, "_exit", lambda _: None)
    monkeypatch.setattr(cli, "main", command)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "inspect", inspect)
        start.main()

    assert [{"items": "Iterator[int]"}] == found


class _Annotated:
    items: Iterator[int]
