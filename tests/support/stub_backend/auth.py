"""Authentication and access rules: tokens, roles, addresses, in the words of each generation.

A token is the text `TOKEN:<account>`, or what `State.token` says; it stands for a signed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stub_backend.release import Release
from stub_backend.wire.answers import Answer, Request, page, stopped_by_auth, text

PREFIX = "TOKEN:"
_ADMIN = "admin"
_API = "api"
_SEES_ALL = frozenset({_ADMIN, "support"})
_KNOWN_ROLES = _SEES_ALL | {_API, "user", "manager", "anonymous"}


class Defect(StrEnum):
    """What is wrong with a token."""

    SIGNATURE = "ed25519: verification error"
    ALGORITHM = "only Ed25519/EdDSA supported"
    EXPIRED = "token is expired"
    EARLY = "token is not valid yet"
    ISSUED_LATER = "Token used before issued"  # up to 1.2.2


_OLD_WORDS = {Defect.EXPIRED: "Token is expired", Defect.EARLY: "Token is not valid yet"}
_NEW_PREFIX = {
    Defect.SIGNATURE: "token signature is invalid: ",
    Defect.ALGORITHM: "token is unverifiable: error while executing keyfunc: ",
    Defect.EXPIRED: "token has invalid claims: ",
    Defect.EARLY: "token has invalid claims: ",
}


@dataclass(frozen=True)
class Account:
    """The account that a token names, its roles, and what is wrong with the token."""

    name: str
    roles: tuple[str, ...] = (_API,)
    defect: Defect | None = None

    @property
    def is_admin(self) -> bool:
        """Whether this account may do everything."""
        return _ADMIN in self.roles


# The accounts of the recorded servers, then tokens with a defect.
ACCOUNTS: Mapping[str, Account] = {
    "svc": Account("svc"),
    "admapi": Account("admapi", (_ADMIN, _API)),
    "plain": Account("plain", ("user",)),
    "both": Account("both", (_API, "user")),
    "stranger": Account("stranger"),
    "foreign": Account("svc", defect=Defect.SIGNATURE),
    "unsigned": Account("svc", defect=Defect.ALGORITHM),
    "expired": Account("svc", defect=Defect.EXPIRED),
    "early": Account("svc", defect=Defect.EARLY),
    "issued-later": Account("svc", defect=Defect.ISSUED_LATER),
}


class TokenError(Exception):
    """The token is refused; the text is the server's."""


@dataclass(frozen=True)
class Gate:
    """The access rules of one server."""

    release: Release
    tokens: Mapping[str, Account]
    users: Mapping[str, tuple[str, ...]]
    validates_users: bool
    addresses: tuple[str, ...] | None

    def account(self, request: Request) -> Account | None:
        """Return the account of a request; None without a token.

        Raises:
            TokenError: bad, expired, or of an unknown user.
        """
        token = request.headers.get("x-auth-token", "").strip()
        if not token:
            token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not token:
            return None
        found = self._parsed(token)
        if found.defect is not None and self._rejects(found.defect):
            raise TokenError(self._words(found.defect))
        if not self.validates_users:
            return found
        if found.name not in self.users:
            raise TokenError("unknown user")
        return Account(found.name, tuple(self.users[found.name]))

    def stops_api(self, account: Account | None, request: Request) -> Answer | None:
        """Return the refusal if this account may not use /api (from 1.4.0 on); None if it may."""
        if not self.release.guards_api_by_role:
            return None
        if account is None:
            with_address = self.release.guards_api_by_address
            return stopped_by_auth("no user for secured check" if with_address else "unauthorized")
        if set(account.roles) != {_API} and not {_ADMIN, _API} <= set(account.roles):
            return stopped_by_auth("unauthorized")
        words = self._address_refused(request) if self.release.guards_api_by_address else ""
        return stopped_by_auth(words) if words else None

    def sees_all(self, account: Account) -> bool:
        """Return whether a listing shows this account the jobs of all users."""
        if _SEES_ALL & set(account.roles):
            return True
        if self.release.guards_api_by_role:
            return account.roles == (_API,)
        return _API in account.roles

    def has_role(self, account: Account) -> bool:
        """Return whether the account has a role that the listings know."""
        return bool(set(account.roles) & _KNOWN_ROLES) or not self.release.guards_api_by_role

    def refused(self, words: str, request: Request) -> Answer:
        """Return the answer to a bad token."""
        if self.release.guards_api_by_role and request.plain_path.startswith("/api/"):
            return stopped_by_auth(words)
        return text(401, words)

    def _parsed(self, token: str) -> Account:
        if token in self.tokens:
            return self.tokens[token]
        if token.lower().startswith("bearer "):
            raise TokenError(self._malformed("illegal base64 data at input byte 6", " "))
        if token.count(".") != 2:
            raise TokenError(self._malformed("token contains an invalid number of segments"))
        if token.startswith("eyJ"):
            raise TokenError(self._words(Defect.SIGNATURE))
        raise TokenError(self._malformed("illegal base64 data at input byte 0"))

    def _malformed(self, words: str, blank: str = "") -> str:
        if self.release.checks_issue_time:
            return "tokenstring should not contain 'bearer '" if blank else words
        inner = "could not base64 decode header: " if "base64" in words else ""
        return f"token is malformed: {inner}{words}"

    def _rejects(self, defect: Defect) -> bool:
        return defect is not Defect.ISSUED_LATER or self.release.checks_issue_time

    def _words(self, defect: Defect) -> str:
        if self.release.checks_issue_time:
            return _OLD_WORDS.get(defect, defect)
        return _NEW_PREFIX.get(defect, "") + defect

    def _address_refused(self, request: Request) -> str:
        """Return why the address is refused, or ""; a port is cut off at the first colon."""
        if not self.addresses:
            return "" if self.release.is_new else "missing configuration key ApiAllowedIPs"
        headers = request.headers
        address = headers.get("x-real-ip") or headers.get("x-forwarded-for") or request.peer
        address = address.partition(":")[0]
        if self.addresses[0] == "*" or address in self.addresses:
            return ""
        return f"unknown ip: {address}"


def login_wanted() -> Answer:
    """Return the answer to a request without token: up to 1.3.1, and at /query in any release."""
    return page(401, "Authentication failed - ClusterCockpit")
