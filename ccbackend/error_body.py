"""The body of an answer: is it JSON, is it cc-backend's own error, and what are its words?

From 1.0.0 on a handler of cc-backend reports an error as `{"status": str, "error": str}`, GraphQL
as `{"errors": [...], "data": ...}`. What has another shape was written by something in front.
"""

from __future__ import annotations

import json
import re

MESSAGE_CHARACTERS = 2000
_MESSAGE = re.compile(r'"(?:error|message|msg)"\s*:\s*("(?:[^"\\]|\\.)*")')


def server_message(text: str) -> str:
    """Return the server's own message in an answer, at most 2000 characters; else its text.

    Some answers hold two JSON documents, or text in front of one (up to 1.4.4): the first message
    found counts.
    """
    found = _MESSAGE.search(text)
    if found is None:
        return text.strip()[:MESSAGE_CHARACTERS]
    try:
        words = json.loads(found[1])
    except ValueError:
        words = found[1]
    return str(words)[:MESSAGE_CHARACTERS]


def is_own_error(text: str) -> bool:
    """Return whether a body is an error as cc-backend itself writes it.

    Text in front of the document and a second document behind it are tolerated (up to 1.4.4).
    """
    try:
        found, _ = json.JSONDecoder().raw_decode(text, max(text.find("{"), 0))
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    if isinstance(found.get("errors"), list):
        return "data" in found
    return isinstance(found.get("error"), str) and isinstance(found.get("status"), str)


def is_json(text: str) -> bool:
    """Return whether a body is one whole JSON document."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
