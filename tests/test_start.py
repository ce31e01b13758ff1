"""The installed `cc-spool`: what a quick command starts without, and that others start as usual."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import call

from spool import start


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Leave the collector of garbage as it was."""
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture
def rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> start.DeferredModule:
    """Return a deferred module that counts how often it is loaded."""
    (tmp_path / "rarely_used.py").write_text("import sys\nANSWER = 42\nsys.loads.append(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "loads", [], raising=False)
    module = start.DeferredModule("rarely_used")
    monkeypatch.setitem(sys.modules, "rarely_used", module)
    return module


def loads() -> int:
    """Return how often the module was loaded."""
    return len(vars(sys)["loads"])


def test_an_import_does_not_load_a_deferred_module(rare: start.DeferredModule) -> None:
    """Neither the statement nor another module that has it."""
    __import__("rarely_used")

    assert 0 == loads()
    assert sys.modules["rarely_used"] is rare


def test_a_deferred_module_is_loaded_once(rare: start.DeferredModule) -> None:
    """When one of its names is used; then it is an ordinary module."""
    assert (42, 42, 1) == (rare.ANSWER, rare.ANSWER, loads())


def test_a_name_that_a_deferred_module_lacks(rare: start.DeferredModule) -> None:
    """The usual error; `from ... import` makes an ImportError of it."""
    with pytest.raises(AttributeError, match="rarely_used"):
        _ = rare.QUESTION


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
def test_only_quick_commands_collect_no_garbage(
    monkeypatch: pytest.MonkeyPatch, words: list[str], *, is_quick: bool
) -> None:
    """Others run for long, or with several threads."""
    monkeypatch.setattr(sys, "argv", ["cc-spool", *words])
    call(program=lambda _: start.main())

    assert (not is_quick, is_quick) == (gc.isenabled(), gc.get_freeze_count() > 0)
