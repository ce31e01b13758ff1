"""User names, and the reply to a query of the drain."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from job_text_commands import JOB, Commands, texts

from spool.resolve.job_texts import JobTexts, TextsQuery, TextsReply

KEY = (815, 5)


def test_users_are_named_by_the_name_service() -> None:
    """A user that it does not know has no name."""
    commands = Commands()
    own = pwd.getpwuid(os.getuid())

    found = texts(commands).resolve_users([own.pw_uid, own.pw_uid, 1 << 40, 3_999_999_999])
    assert {own.pw_uid: own.pw_name, 1 << 40: None, 3_999_999_999: None} == found


@pytest.mark.parametrize("name", ["nobody", "Nobody", "nfsnobody", "", "unknown", "20001"])
def test_a_placeholder_is_no_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Name services return it for users whose name they do not know at the moment."""
    entry = pwd.struct_passwd((name, "x", 20001, 20001, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)

    assert {20001: None} == texts(Commands()).resolve_users([20001])


def test_a_query_of_the_drain_is_answered_with_texts_and_names(tmp_path: Path) -> None:
    """One reply has both."""
    commands = Commands(location=tmp_path)
    reply = texts(commands).ask(TextsQuery(jobs=(JOB,), uids=frozenset({0})))

    assert ({0: "root"}, "JobId=815") == (reply.users, reply.texts[KEY].description)


def test_an_internal_error_ends_no_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the reply has no texts."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(JobTexts, "read", fail)

    assert TextsReply() == texts(Commands()).ask(TextsQuery(jobs=(JOB, JOB)))
    expected = [
        (
            "the scripts and descriptions were not read (jobs: 2), internal error of cc-slurm-sync"
            " (KeyError('odd')); please report it with the log"
        )
    ]
    assert expected == [record.message for record in caplog.records]
