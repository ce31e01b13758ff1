"""The one function through which foreign text reaches a log, a terminal or a dead letter."""

from __future__ import annotations

MAX_SHOWN_CHARACTERS = 200
_PRINTABLE = range(0x20, 0x7F)


def escape(text: str, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    r"""Return printable ASCII: everything else as \xNN of its UTF-8, cut with `...` at a limit.

    No newline, ESC, bidi mark or NUL of a user, of Slurm, of cc-backend or of a file name survives.
    """
    raw = text[: limit + 1].encode("utf-8", "surrogatepass")
    shown = "".join(chr(byte) if byte in _PRINTABLE else f"\\x{byte:02x}" for byte in raw)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
