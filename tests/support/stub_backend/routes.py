"""From method and path to a handler's name, as gorilla/mux (up to 1.4.4) and chi (1.5) route.

gorilla redirects a path with a missing or an extra slash after the authentication, and a path that
is not clean before it. chi redirects nothing: another path is another route.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from stub_backend.release import Release
from stub_backend.wire.answers import HTML, Answer, Request, as_json, page, text

_ID = "{id}"


@dataclass(frozen=True)
class Route:
    """A handler with its methods; `{id}` in the path stands for one segment."""

    handler: str
    methods: tuple[str, ...]
    path: str

    def argument(self, path: str) -> str | None:
        """Return the segment for `{id}`, "" without one; None if the path does not match."""
        pattern = re.escape(self.path).replace(re.escape(_ID), "([^/]+)")
        found = re.fullmatch(pattern, path)
        if found is None:
            return None
        return found[1] if found.groups() else ""


@dataclass(frozen=True)
class Match:
    """The handler for a request and the argument in its path, or a redirect after the login."""

    handler: str
    argument: str = ""
    redirect: str = ""


@cache
def routes(release: Release, *, nats: bool) -> tuple[Route, ...]:
    """Return the routes under /api/ in the order in which they are tried."""
    return tuple(_routes(release, nats=nats))


def _routes(release: Release, *, nats: bool) -> Iterator[Route]:
    if not nats:
        yield Route("start", ("POST", "PUT"), "/api/jobs/start_job/")
        yield Route("stop", ("POST", "PUT"), "/api/jobs/stop_job/")
    if not release.since(1, 4, 0):
        yield Route("stop_by_id", ("POST", "PUT"), "/api/jobs/stop_job/{id}")
    yield Route("list", ("GET",), "/api/jobs/")
    if release.is_new:
        yield Route("used_nodes", ("GET",), "/api/jobs/used_nodes")
    yield Route("tag", ("POST", "PATCH"), "/api/jobs/tag_job/{id}")
    if release.since(1, 4, 4):
        yield Route("untag", ("DELETE",), "/api/jobs/tag_job/{id}")
    if release.has_rest_reading:
        methods = ("PATCH",) if release.is_new else ("POST", "PATCH")
        yield Route("edit_meta", methods, "/api/jobs/edit_meta/{id}")
        yield Route("clusters", ("GET",), "/api/clusters/")
    if release.is_new:
        yield Route("edit_meta_by_tuple", ("PATCH",), "/api/jobs/edit_meta/")
        yield Route("node_state", ("POST", "PUT"), "/api/nodestate/")
    yield Route("delete", ("DELETE",), "/api/jobs/delete_job/")
    yield Route("delete_by_id", ("DELETE",), "/api/jobs/delete_job/{id}")
    yield Route(
        "job_by_id", ("POST", "GET") if release.has_rest_reading else ("POST",), "/api/jobs/{id}"
    )
    if not release.since(1, 4, 0) or release.since(1, 4, 4):
        yield Route("users", ("GET",), "/api/users/")


def find(request: Request, release: Release, *, nats: bool) -> Match | Answer:
    """Route one request; return an answer if it reaches no handler."""
    if release.is_new:
        return _chi(request, routes(release, nats=nats))
    return _gorilla(request, routes(release, nats=nats))


def _gorilla(request: Request, known: tuple[Route, ...]) -> Match | Answer:
    path = request.plain_path
    clean = _clean(path)
    if clean != path:
        return Answer(301, "", "", (("Location", clean + request.path[len(path) :]),))
    if path == "/query":
        return Match("query")
    for route in known:
        if request.method not in (*route.methods, "OPTIONS"):
            continue
        for variant in (path, _other_slash(path)):
            argument = route.argument(variant)
            if argument is None:
                continue
            if request.method == "OPTIONS":
                return Answer(200, "", "")
            other = "" if variant == path else variant + request.path[len(path) :]
            return Match(route.handler, argument, other)
    answer = text(404, "404 page not found")
    return answer._replace(body="") if request.method == "HEAD" else answer


def _chi(request: Request, known: tuple[Route, ...]) -> Match | Answer:
    path = request.plain_path
    if path == "/query":
        return Match("query")
    allowed: list[str] = []
    for route in known:
        argument = route.argument(path)
        if argument is None:
            continue
        if request.method in route.methods:
            return Match(route.handler, argument)
        allowed += route.methods
    if allowed:
        return Answer(405, "", "", (("Allow", ", ".join(allowed)),))
    if path.startswith("/api/"):
        words = "the requested endpoint does not exist"
        return as_json(404, {"error": words, "status": "Resource not found"})
    return page(404, "Page Not Found")


def redirected(request: Request, location: str) -> Answer:
    """Return a redirect as Go writes it: only the answer to a GET has a body."""
    headers = (("Location", location),)
    if request.method != "GET":
        return Answer(301, "", "", headers)
    return Answer(301, f'<a href="{location}">Moved Permanently</a>.\n\n', HTML, headers)


def _clean(path: str) -> str:
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def _other_slash(path: str) -> str:
    return path[:-1] if path.endswith("/") else path + "/"
