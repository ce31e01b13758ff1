"""Operator, account and user of a NATS broker with JWTs, as NATS' own tool `nsc` makes them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from ccbackend.nats_api.credentials import public_key, sign

_OPERATOR, _ACCOUNT, _USER, _SEED = 14 << 3, 0, 20 << 3, 18 << 3
_LIMITS = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)


def creds_and_settings(subject: str) -> tuple[str, str]:
    """Return a creds file that may publish on a subject, and the settings of its broker."""
    operator, account, user = (bytes([number]) * 32 for number in (1, 2, 3))
    account_key = _encode(_ACCOUNT, public_key(account))
    claims = {"limits": _LIMITS | {"wildcards": True}, "type": "account", "version": 2}
    operator_claims = {"type": "operator", "version": 2}
    operator_jwt = _jwt(
        operator, _OPERATOR, _encode(_OPERATOR, public_key(operator)), operator_claims
    )
    account_jwt = _jwt(operator, _OPERATOR, account_key, claims)
    rights = {"pub": {"allow": [subject]}, "sub": {"allow": ["_INBOX.>"]}}
    user_claims = rights | {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
    user_jwt = _jwt(account, _ACCOUNT, _encode(_USER, public_key(user)), user_claims)
    creds = (
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user_seed(user)}\n------END USER NKEY SEED------\n"
    )
    settings = (
        f"operator: {operator_jwt}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account_key}: {account_jwt} }}\n"
    )
    return creds, settings


def user_seed(seed: bytes) -> str:
    """Return a user's seed in the format of a creds file."""
    return _checked(bytes([_SEED | (_USER >> 5), (_USER & 31) << 3]) + seed)


def _jwt(seed: bytes, kind: int, subject: str, nats: dict[str, Any]) -> str:
    claims: dict[str, Any] = {
        "iat": 1_767_225_600,
        "iss": _encode(kind, public_key(seed)),
        "name": "test",
        "sub": subject,
        "nats": nats,
    }
    claims["jti"] = hashlib.sha256(json.dumps(claims).encode()).hexdigest()
    parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)
    text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_base64(sign(seed, text.encode()))}"


def _encode(kind: int, key: bytes) -> str:
    return _checked(bytes([kind]) + key)


def _checked(raw: bytes) -> str:
    crc = 0
    for byte in raw:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(raw + crc.to_bytes(2, "little")).decode().rstrip("=")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
