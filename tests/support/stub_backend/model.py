"""One cc-backend without a network: `Model(version="1.5.4").respond(request)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stub_backend import ends, extras, graphql, nats, reading, starts
from stub_backend.auth import Account, TokenError, login_wanted
from stub_backend.release import HASHES
from stub_backend.routes import Match, find, redirected
from stub_backend.state import State
from stub_backend.wire.answers import Answer, Request, page, refusal

_Handler = Callable[[State, Request, Account, str], Answer]
_HANDLERS: Mapping[str, _Handler] = {
    "start": starts.start,
    "stop": ends.stop,
    "stop_by_id": ends.stop_by_id,
    "delete": ends.delete,
    "delete_by_id": ends.delete_by_id,
    "list": reading.listing,
    "job_by_id": reading.job_by_id,
    "clusters": reading.clusters,
    "used_nodes": reading.used_nodes,
    "users": reading.users,
    "tag": extras.tag,
    "untag": extras.untag,
    "edit_meta": extras.edit_meta,
    "edit_meta_by_tuple": extras.edit_meta_by_tuple,
    "node_state": extras.node_state,
}
_WITHOUT_ROLE = frozenset({"users"})  # up to 1.3.1 the handlers check the role, this one does not
_HARDENING = (
    ("Content-Security-Policy", "frame-ancestors 'none'; object-src 'none'; base-uri 'self'"),
    ("Referrer-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
)


class Model(State):
    """Tables and rules of one server; for one thread at a time."""

    def respond(self, request: Request) -> Answer:
        """Answer one request."""
        self.catch_up()
        if self.everything is not None:
            return self.everything
        answer = self._public(request) or self._private(request)
        if self.release.since(1, 5, 4):
            return answer._replace(headers=answer.headers + _HARDENING)
        return answer

    def answer(self, method: str, path: str, body: str, token: str | None) -> Answer:
        """Answer a request given as texts; a subclass that acts on requests overrides `respond`."""
        headers = {"content-type": "application/json"}
        if token is not None:
            headers["x-auth-token"] = token
        return self.respond(Request(method, path, headers, body.encode()))

    def publish(self, message: str) -> list[Answer]:
        """Process a message of the NATS broker (from 1.5.0)."""
        self.catch_up()
        return nats.publish(self, message)

    def _public(self, request: Request) -> Answer | None:
        """Return the login page with the version in its footer; None for another path."""
        if request.method != "GET" or request.plain_path != "/login":
            return None
        lines = (
            f'<li class="build-list-item">Version {self.build}</li>',
            f'<li class="build-list-item">Hash {HASHES.get(self.version, "unknown")}</li>',
        )
        return page(200, "Login - ClusterCockpit", *lines)

    def _private(self, request: Request) -> Answer:
        match = find(request, self.release, nats=self.nats)
        if isinstance(match, Answer):
            return match
        gate = self.gate
        try:
            account = gate.account(request)
        except TokenError as error:
            return gate.refused(str(error), request)
        if match.handler == "query":
            return graphql.answer(self, request, account) if account else login_wanted()
        stopped = gate.stops_api(account, request)
        if stopped is not None:
            return stopped
        if account is None:
            return login_wanted()
        return self._handled(match, request, account)

    def _handled(self, match: Match, request: Request, account: Account) -> Answer:
        if match.redirect:
            return redirected(request, match.redirect)
        asks_role = not self.release.guards_api_by_role and match.handler not in _WITHOUT_ROLE
        if asks_role and "api" not in account.roles:
            return refusal(403, "missing role: api")
        return _HANDLERS[match.handler](self, request, account, match.argument)
