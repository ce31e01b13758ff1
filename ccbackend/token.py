"""The token and the URL: which server is asked, and as which account.

The token is never part of a message or a representation. Its claims are read without verification,
to warn in time and to say why a server may refuse it; they prove nothing.
"""

from __future__ import annotations

import binascii
import errno
import json
import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

from ccbackend.errors import TokenError, UrlError

SIZE_LIMIT_BYTES = 65_536
_TOKEN = re.compile(r"[\x21-\x7e]+")
_MAX_TIME = 1e12  # no clock shows a later time; NaN is not before it either
_URL_SAFE = str.maketrans("-_", "+/")  # RFC 4648, section 5


class Token:
    """A JWT. `expires_at` is Unix seconds; it and `roles` are None where the token has none."""

    __slots__ = ("expires_at", "roles", "value")

    def __init__(
        self, value: str, expires_at: float | None = None, roles: tuple[str, ...] | None = None
    ) -> None:
        self.value = value
        self.expires_at = expires_at
        self.roles = roles

    def expired(self, now: float) -> bool:
        """Return whether it has expired; the server allows no leeway."""
        return self.expires_at is not None and now >= self.expires_at


def parse_token(text: str) -> Token:
    """Read a token's text; one trailing newline is stripped.

    Raises:
        ValueError: empty, or characters that no token holds.
    """
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise ValueError("the token is empty")
    if _TOKEN.fullmatch(value) is None:
        raise ValueError("the token contains spaces, line breaks or control characters")
    claims = _claims(value)
    expires, roles = claims.get("exp"), claims.get("roles")
    return Token(
        value,
        float(expires) if isinstance(expires, int | float) and abs(expires) < _MAX_TIME else None,
        tuple(map(str, roles)) if isinstance(roles, list) else None,
    )


def read_token(path: Path) -> Token:
    """Read the token file: a regular file of one line that others cannot read.

    Raises:
        TokenError: it cannot be used; says why and what to do.
    """
    return _read(path)[0]


class TokenFile:
    """A token file that may be replaced while we run; checked at every use by one stat."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fingerprint: tuple[int, ...] | None = None
        self._token: Token | None = None

    def current(self) -> Token:
        """Return the token, read again if the file has changed.

        Raises:
            TokenError: it cannot be used.
        """
        if self._token is None or self._fingerprint != self.fingerprint():
            self._token, self._fingerprint = _read(self._path)
        return self._token

    def fingerprint(self) -> tuple[int, ...] | None:
        """Return a value that changes when the file changes; None if the file cannot be found."""
        try:
            return _fingerprint(self._path.lstat())
        except OSError:
            return None


def check_url(text: str) -> str:
    """Check the server's base URL and return it: scheme, host, perhaps a port, nothing else.

    Whether plain http is allowed is for the configuration to say.

    Raises:
        UrlError: says what is wrong and what to write instead.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UrlError(f"not a URL: {error}", "write https://HOST[:PORT]") from error
    if parts.scheme not in ("http", "https") or not host or _TOKEN.fullmatch(text) is None:
        raise UrlError("not an http or https URL", "write https://HOST[:PORT]")
    if "@" in parts.netloc:
        raise UrlError("the URL contains a user name", "remove it; cc-backend needs only the token")
    if parts.path or parts.query or parts.fragment or text.endswith(("?", "#")):
        plain = f"{parts.scheme}://{parts.netloc}"
        raise UrlError("the URL has a path or ends with a slash", f"write {plain}")
    if port == 0:
        raise UrlError("port 0", "write https://HOST[:PORT]")
    return text


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine."""
    if host in {"localhost", "127.0.0.1", "::1"}:
        return True
    import ipaddress  # noqa: PLC0415 - only for other hosts of plain http

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_secret(path: Path, *, what: str, key: str) -> bytes:
    """Return the contents of a file with a secret: a regular file that others cannot read.

    Args:
        path: of the file; a symbolic link is not followed.
        what: what the secret is (`password`), for messages, which never contain the secret.
        key: the configuration key that names the file, for messages.

    Raises:
        TokenError: it cannot be used; says why and what to do.
    """
    return _read_file(path, what, key)[0]


def _read(path: Path) -> tuple[Token, tuple[int, ...]]:
    data, fingerprint = _read_file(path, "token", "token_file")
    try:
        return parse_token(data.decode("ascii", "replace")), fingerprint
    except ValueError as error:
        raise TokenError(str(path), str(error), "write only the token to this file") from error


def _read_file(path: Path, what: str, key: str) -> tuple[bytes, tuple[int, ...]]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise _open_error(path, error, what, key) from error
    try:
        status = os.fstat(descriptor)
        _check_status(path, status, what)
        data = os.read(descriptor, SIZE_LIMIT_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > SIZE_LIMIT_BYTES:
        hint = f"write only the {what} to this file"
        raise TokenError(str(path), f"too large for a {what}", hint)
    return data, _fingerprint(status)


def _open_error(path: Path, error: OSError, what: str, key: str) -> TokenError:
    if error.errno == errno.ELOOP and path.is_symlink():
        hint = f"set {key} to the file itself: {path.readlink()}"
        return TokenError(str(path), "is a symbolic link, which is not followed", hint)
    is_denied = isinstance(error, PermissionError)
    hint = "let the service's group read it" if is_denied else f"write the {what} to this file"
    return TokenError(str(path), f"cannot be opened: {error.strerror}", hint, is_denied=is_denied)


def _check_status(path: Path, status: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise TokenError(str(path), "not a regular file", f"write the {what} to a regular file")
    if status.st_mode & stat.S_IRWXO:
        hint = f"chmod o= {path}"
        problem = f"other users can read or change the {what}"
        raise TokenError(str(path), problem, hint, is_denied=True)


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode


def _claims(value: str) -> dict[str, object]:
    """Return the claims in a JWT's middle part; empty if the text is not a JWT."""
    try:
        _header, part, _signature = value.split(".")
        claims = json.loads(binascii.a2b_base64(part.translate(_URL_SAFE) + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
