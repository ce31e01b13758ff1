"""Secrets are hidden in messages, tracebacks and output of commands."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from console_steps import JWT, ended, saying

from spool import console

SECRET = 'made-up"token\\with é'
_log = logging.getLogger("test")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a secret that is hidden."""
    monkeypatch.setattr(console, "_secrets", set())
    return console.hide_secret(SECRET)


def test_a_secret_is_hidden_in_all_output(secret: str, tmp_path: Path) -> None:
    """Messages, arguments, tracebacks, output, JSON, the log file and `repr` show `***`."""

    def work() -> int:
        _log.error("got %s", secret)
        _log.error("got %r", [secret])
        console.print_line(f"x{secret}x")
        console.print_json({"token": secret, secret: 1})
        raise ValueError(f"no good: {secret}")

    said = ended(work, log_file=tmp_path / "log")
    everything = said.out + said.err + (tmp_path / "log").read_text()

    assert 1 == said.code
    assert "made-up" not in everything
    assert "x***x" in said.out
    assert "ValueError: no good: ***" in everything


def test_a_secret_in_a_chain_of_exceptions_is_hidden(secret: str) -> None:
    """The traceback prints every exception of the chain."""

    def work() -> int:
        raise RuntimeError("second") from KeyError(secret)

    said = ended(work)

    assert "RuntimeError: second" in said.err
    assert "made-up" not in said.err


def test_a_secret_in_the_exception_of_a_thread_is_hidden(secret: str) -> None:
    """Without our handler, Python would print the traceback of a thread itself."""

    def die() -> None:
        raise ValueError(secret)

    def work() -> int:
        thread = threading.Thread(target=die)
        thread.start()
        thread.join()
        return 0

    said = ended(work)

    assert "internal error of cc-slurm-sync in a thread" in said.err
    assert "made-up" not in said.err


def test_text_that_looks_like_a_token_is_always_hidden() -> None:
    """A server may repeat a token, a file may have an old one, and either may be truncated."""
    said = ended(saying("got %s and %s", JWT, JWT[:20]))

    assert "cc-test: got *** and ***\n" == said.err


def test_a_very_short_secret_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret `a` would hide a part of many words, such as `data`."""
    monkeypatch.setattr(console, "_secrets", set())
    console.hide_secret("a")

    assert "data" == console.safe_line("data")


def test_a_long_secret_is_hidden_before_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old token may be the beginning of the new one."""
    monkeypatch.setattr(console, "_secrets", set())
    console.hide_secret("made-up")
    console.hide_secret("made-up-too")

    assert "***" == console.safe_line("made-up-too")
