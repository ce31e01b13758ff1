"""Escape foreign text for logs, terminals and dead letters."""

from __future__ import annotations

MAX_SHOWN_CHARACTERS = 200
_PRINTABLE = range(0x20, 0x7F)


def escape(text: str, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    r"""Return a text as printable ASCII: other UTF-8 bytes as \xNN, shortened with `...`.

    So newlines, ESC, bidi marks and NUL in text of users, Slurm, cc-backend or file names have no
    effect.
    """
    shown = text[: limit + 1]
    if not (shown.isascii() and shown.isprintable()):
        raw = shown.encode("utf-8", "surrogatepass")
        shown = "".join(chr(byte) if byte in _PRINTABLE else f"\\x{byte:02x}" for byte in raw)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
