"""Requests and answers as values, and error bodies as the server writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class Answer(NamedTuple):
    """Status, body, content type ("": none is named) and further headers."""

    status: int
    body: str
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    """One request; header names in lower case, `path` with its query, `peer` an IP address."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = "127.0.0.1"

    @property
    def plain_path(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        """Decoded parameters in their order, empty ones too."""
        return parse_qsl(self.path.partition("?")[2], keep_blank_values=True)


def encode(value: Any) -> str:
    """Return JSON as Go's encoder writes it: no blanks, UTF-8, `<`, `>` and `&` escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def as_json(status: int, value: Any) -> Answer:
    """Return a handler's JSON answer; Go's encoder adds a newline at the end."""
    return Answer(status, encode(value) + "\n")


def refusal(status: int, words: str) -> Answer:
    """Return an error as a handler writes it."""
    return as_json(
        status, {"status": HTTPStatus(status).phrase.replace("Content", "Entity"), "error": words}
    )


def stopped_by_auth(words: str) -> Answer:
    """Return an error as the authentication writes it from 1.4.0 on: in another key order."""
    return as_json(401, {"error": words, "status": "Unauthorized"})


def text(status: int, words: str) -> Answer:
    """Return an error in plain text."""
    return Answer(status, words + "\n", TEXT)


def page(status: int, title: str, *lines: str) -> Answer:
    """Return a web page, reduced to its title and some lines."""
    head = ("<!DOCTYPE html>", "<html><head>", f"<title>{title}</title>", "</head><body>")
    body = "\n".join((*head, *lines, "</body></html>", ""))
    return Answer(status, body, HTML)


PANIC = Answer(500, "", "")  # the answer after a panic in a handler
