"""Log in to a NATS broker with a creds file: a JWT, and the nonce of the broker signed by its seed.

Ed25519 of RFC 8032 in plain Python, because a wheel that is independent of the architecture cannot
need a compiled library. It signs one nonce for each connection, in some milliseconds. The
time depends on the key, but only the broker to which we have just connected could measure it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----\s*(\S+)\s*-+END \1-+")
_SEED_BYTES = 36  # two of prefix, 32 of seed, two of checksum
_SEED_PREFIX, _PREFIX_BITS = 18 << 3, 0xF8  # "S" in base32

_Point = tuple[int, int, int, int]  # extended coordinates x, y, z, x*y


@dataclass(frozen=True, slots=True)
class Credentials:
    """The contents of a creds file."""

    jwt: str = field(repr=False)
    seed: bytes = field(repr=False)

    def sign(self, nonce: bytes) -> bytes:
        """Return the signature of the broker's nonce, in base64."""
        return base64.b64encode(sign(self.seed, nonce))


def parse_credentials(text: str) -> Credentials:
    """Read a creds file: blocks `NATS USER JWT` and `USER NKEY SEED`.

    Raises:
        ValueError: the text is not a creds file; the message never contains any of it.
    """
    blocks = dict(_BLOCK.findall(text))
    jwt, seed = blocks.get("NATS USER JWT"), blocks.get("USER NKEY SEED")
    if not jwt or not seed:
        raise ValueError("not a NATS creds file: a user JWT and an nkey seed must be in it")
    return Credentials(jwt, _decode_seed(seed))


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the Ed25519 signature of a message (RFC 8032, section 5.1.6)."""
    secret, digest = _expand(seed)
    public = public_key(seed)
    nonce = _hash(digest + message)
    commitment = _compress(_multiply(nonce))
    challenge = _hash(commitment + public + message)
    return commitment + ((nonce + challenge * secret) % _L).to_bytes(32, "little")


def public_key(seed: bytes) -> bytes:
    """Return the Ed25519 public key of a seed (RFC 8032, section 5.1.5)."""
    return _compress(_multiply(_expand(seed)[0]))


def _expand(seed: bytes) -> tuple[int, bytes]:
    """Return the secret scalar of a seed and the prefix that is hashed into its nonces."""
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254), digest[32:]


def _decode_seed(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raw = b""
    if len(raw) != _SEED_BYTES or raw[0] & _PREFIX_BITS != _SEED_PREFIX:
        raise ValueError("not a valid NATS creds file: its nkey seed is damaged")
    return raw[2:34]


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % _L


def _add(a: _Point, b: _Point) -> _Point:
    first, second = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    third, fourth = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = second - first, fourth - third, fourth + third, second + first
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int) -> _Point:
    """Return the base point of Ed25519 multiplied by a number."""
    result: _Point = (0, 1, 1, 0)
    point: _Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _compress(point: _Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")
