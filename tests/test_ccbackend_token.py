"""The token file and the server's URL."""

from __future__ import annotations

import base64
import errno
import json
import os
from pathlib import Path

import pytest

from ccbackend.errors import TokenError, UrlError
from ccbackend.token import Token, TokenFile, check_url, is_loopback, parse_token, read_token


def jwt(claims: object) -> str:
    """Return a token with these claims and no valid signature."""
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{middle}.c2ln"


def written(folder: Path, data: str | bytes, mode: int = 0o640) -> Path:
    """Write a token file and return its path."""
    path = folder / "token"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    return path


def test_token_claims_are_read_without_verification() -> None:
    """`exp` and `roles` show when the token expires and why a server may refuse it."""
    token = parse_token(jwt({"sub": "svc", "roles": ["api"], "exp": 1767225600}) + "\n")

    assert (token.expires_at, token.roles) == (1767225600.0, ("api",))
    assert [token.expired(now) for now in (1767225599.9, 1767225600)] == [False, True]


@pytest.mark.parametrize(
    "text",
    [
        *(jwt({"sub": "svc"}), jwt(["x"]), "e30.!!!.x", "e30.eyJ.x", "opaque"),
        f"e30.{'W1tb' * 9}.x",
        *(jwt({"exp": exp}) for exp in (float("inf"), float("nan"), 10**400, "soon")),
    ],
)
def test_a_token_without_readable_claims_has_no_expiry(text: str) -> None:
    """The server may still accept a token that this program cannot decode."""
    token = parse_token(text)

    assert (token.expires_at, token.roles, token.expired(9e9)) == (None, None, False)


def test_token_claims_nested_too_deeply_are_ignored() -> None:
    """A token with 30000 nested brackets cannot crash the reader."""
    deep = base64.urlsafe_b64encode(b"[" * 30_000).decode()

    assert parse_token(f"e30.{deep}.x").expires_at is None


@pytest.mark.parametrize("text", ["", "\n", "a b", "a\n\n", " a", "a\tb", "a\x00", "ä"])
def test_a_token_that_is_not_one_word_is_refused(text: str) -> None:
    """One newline at the end of the token is stripped, nothing else."""
    with pytest.raises(ValueError, match=r"empty|the token contains"):
        parse_token(text)


def test_the_repr_of_a_token_does_not_contain_it() -> None:
    """A log line with the `repr` of a token does not show the token."""
    assert "secret" not in repr(Token("secret"))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440])
def test_a_private_token_file_is_read(tmp_path: Path, mode: int) -> None:
    """Modes 0600, 0640 and 0440 are accepted: the group may read the token."""
    assert read_token(written(tmp_path, "abc\r\n", mode)).value == "abc"


@pytest.mark.parametrize("mode", [0o644, 0o642, 0o601])
def test_a_token_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """The message has the command that corrects the mode and does not contain the token."""
    path = written(tmp_path, "secret-value", mode)

    with pytest.raises(TokenError, match="other users can read or change the token") as caught:
        read_token(path)
    assert caught.value.hint == f"chmod o= {path}"
    assert "secret-value" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "empty"),
        ("a b", "the token contains"),
        (b"\xff", "the token contains"),
        ("a" * 70_000, "too large"),
    ],
)
def test_an_invalid_token_file_is_refused(tmp_path: Path, data: str | bytes, problem: str) -> None:
    """An empty file, other text, other bytes and a file that is too large are refused."""
    with pytest.raises(TokenError, match=problem):
        read_token(written(tmp_path, data))


def test_a_token_file_that_is_not_regular_is_refused(tmp_path: Path) -> None:
    """A link is not followed, and reading a FIFO does not block."""
    target = written(tmp_path, "abc")
    link, fifo = tmp_path / "link", tmp_path / "fifo"
    link.symlink_to(target)
    os.mkfifo(fifo, 0o600)

    for path in (link, fifo, tmp_path, tmp_path / "none"):
        with pytest.raises(TokenError):
            read_token(path)


def test_a_token_file_that_is_a_link_is_reported_with_its_target(tmp_path: Path) -> None:
    """The hint says to set `token_file` to the file itself; links are not followed."""
    target, link = written(tmp_path, "abc"), tmp_path / "link"
    link.symlink_to(target)

    with pytest.raises(TokenError) as caught:
        read_token(link)

    assert "is a symbolic link, which is not followed" == caught.value.problem
    assert f"set token_file to the file itself: {target}" == caught.value.hint
    assert not caught.value.is_denied


@pytest.mark.parametrize(
    ("error", "is_denied"),
    [(PermissionError(errno.EACCES, "Permission denied"), True),
     (FileNotFoundError(errno.ENOENT, "No such file or directory"), False),
     (OSError(errno.ELOOP, "Too many levels of symbolic links"), False)],
)  # fmt: skip
def test_only_a_missing_permission_is_reported_as_denied(
    error: OSError, monkeypatch: pytest.MonkeyPatch, *, is_denied: bool
) -> None:
    """`is_denied` is true for EACCES only, not for a missing file or a link."""

    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(TokenError) as caught:
        read_token(Path("/etc/token"))

    assert f"cannot be opened: {error.strerror}" == caught.value.problem
    assert is_denied is caught.value.is_denied


def test_a_token_file_open_to_others_is_reported_as_denied(tmp_path: Path) -> None:
    """Only the file's mode is wrong (0644), not the token."""
    with pytest.raises(TokenError) as caught:
        read_token(written(tmp_path, "abc", 0o644))

    assert caught.value.is_denied


def test_a_replaced_token_file_is_read_again(tmp_path: Path) -> None:
    """A file replaced by rename is read again; an unchanged file is not."""
    path = written(tmp_path, "one")
    file = TokenFile(path)
    before = file.fingerprint()
    first = file.current().value
    unchanged = (file.fingerprint(), file.current().value) == (before, first)
    fresh = tmp_path / "fresh"
    fresh.write_text("second")
    fresh.chmod(0o600)
    fresh.rename(path)

    assert (first, unchanged, file.fingerprint() != before) == ("one", True, True)
    assert file.current().value == "second"


def test_a_removed_token_file_is_noticed(tmp_path: Path) -> None:
    """The old token is not used any longer."""
    path = written(tmp_path, "one")
    file = TokenFile(path)
    file.current()
    path.unlink()

    assert file.fingerprint() is None
    with pytest.raises(TokenError, match="cannot be opened"):
        file.current()


@pytest.mark.parametrize(
    "text",
    [
        "https://cc.example.org",
        "https://cc.example.org:8443",
        "http://127.0.0.1:8080",
        "http://localhost",
        "http://[::1]:80",
        "http://cc.example.org",
    ],
)
def test_valid_server_urls_are_accepted_unchanged(text: str) -> None:
    """Plain http URLs are accepted here; another check decides if they may be used."""
    assert check_url(text) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cc.example.org", "not an http or https URL"),
        ("ftp://cc.example.org", "not an http or https URL"),
        ("https://", "not an http or https URL"),
        ("https://cc example.org", "not an http or https URL"),
        ("https://cc.example.org\n", "not an http or https URL"),
        ("https://cc.exämple.org", "not an http or https URL"),
        ("https://cc.example.org/", "path or ends with a slash; write https://cc.example.org"),
        (
            "https://cc.example.org:1/api",
            "path or ends with a slash; write https://cc.example.org:1",
        ),
        ("https://cc.example.org?", "path or ends with a slash"),
        ("https://cc.example.org#x", "path or ends with a slash"),
        ("https://user:pw@cc.example.org", "user name"),
        ("https://cc.example.org:99999", "not a URL"),
        ("https://cc.example.org:x", "not a URL"),
        ("https://cc.example.org:0", "port 0"),
        ("https://[::1", "not a URL"),
    ],
)
def test_invalid_server_urls_are_refused_with_a_hint(text: str, problem: str) -> None:
    """A wrong URL could send the token to another host, or make every path wrong."""
    with pytest.raises(UrlError, match=problem) as caught:
        check_url(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.9.9.9", True), ("::1", True), ("localhost", True), ("::2", False), ("local", False)],
)
def test_loopback_hosts_are_recognised(host: str, *, loopback: bool) -> None:
    """127.9.9.9, ::1 and localhost are loopback; ::2 and the name `local` are not."""
    assert is_loopback(host) is loopback
