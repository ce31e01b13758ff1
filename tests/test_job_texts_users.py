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
    """A uid that the name service does not know has no user name."""
    commands = Commands()
    own = pwd.getpwuid(os.getuid())

    found = texts(commands).resolve_users([own.pw_uid, own.pw_uid, 1 << 40, 3_999_999_999])
    assert {own.pw_uid: own.pw_name, 1 << 40: None, 3_999_999_999: None} == found


@pytest.mark.parametrize("name", ["nobody", "Nobody", "nfsnobody", "", "unknown", "20001"])
def test_a_placeholder_such_as_nobody_is_no_user_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Name services return nobody, the uid or an empty name if they cannot find a name now."""
    entry = pwd.struct_passwd((name, "x", 20001, 20001, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)

    assert {20001: None} == texts(Commands()).resolve_users([20001])


def test_one_reply_has_descriptions_and_user_names(tmp_path: Path) -> None:
    """The drain's query names jobs and uids; the reply has both answers."""
    commands = Commands(location=tmp_path)
    reply = texts(commands).ask(TextsQuery(jobs=(JOB,), uids=frozenset({0})))

    assert ({0: "root"}, "JobId=815") == (reply.users, reply.texts[KEY].description)


def test_an_internal_error_returns_an_empty_reply(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged with the number of jobs; the worker of the drain continues."""

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
