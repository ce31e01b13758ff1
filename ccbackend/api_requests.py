"""Send one request to cc-backend and classify the reply; detect the server's version.

After a lost connection another release may answer, so the version is detected again on a new
connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ccbackend import replies
from ccbackend.errors import ExpiredTokenError, Fault, TokenError
from ccbackend.outcomes import ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from ccbackend.version import (
    ServerInfo,
    SharedServerInfo,
    dialect_of_404,
    server_info,
    version_of_login_page,
)
from ccbackend.wire.transport import Transport

_SERVER_ERROR = 500
_ANSWERED_TO_EVERY_TOKEN = (ApiCall.GRAPHQL, ApiCall.JOB_API)


class ApiRequests:
    """A sender of requests to one server, with classified replies; use it in one thread only."""

    def __init__(self, transport: Transport, shared: SharedServerInfo) -> None:
        self._transport = transport
        self._shared = shared
        self._verified: str | None = None  # the token to which REST has answered
        self.failed_detection: ApiReply | None = None
        """The failure of the last detection, if a second request is useless now; else None."""
        self._connections_seen = 1  # of the transport when the server was last detected

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    @property
    def server(self) -> ServerInfo:
        """What is known of the server."""
        return self._shared.server

    def switch_dialect(self) -> None:
        """Use the other dialect, as the server refused this one; its version counts as unknown."""
        self._shared.server = ServerInfo(None, self.server.dialect.other)

    def detect_server(self) -> ServerInfo:
        """Detect the server's version or dialect, without token; keep the last if none is shown."""
        page = self._transport.exchange("GET", "/login", with_token=False)
        self._connections_seen = max(1, self._transport.connections)
        # Without a connection a second request would fail in the same way, after a timeout it would
        # wait another minute. A connection that broke later may have been closed for this path
        # only. The reply stands for that of `verify_token`, which is then not sent.
        self.failed_detection = None
        if not page.sent or page.fault is Fault.TIMED_OUT:
            reply = replies.reply_to(ApiCall.LISTING, page, self.server.version)
            self.failed_detection = reply
        version = version_of_login_page(page.text) if page.status else None
        if version is not None:
            self._shared.server = server_info(version)
        elif page.status is not None and page.status < _SERVER_ERROR:
            self._detect_generation()
        return self.server

    def send(
        self,
        call: ApiCall,
        method: str,
        path: str,
        *,
        document: Mapping[str, object] | None = None,
        limit_bytes: int | None = None,
    ) -> tuple[ApiReply, str]:
        """Send one request; return the classified reply and the text of the answer."""
        body = None if document is None else encoded(document)
        try:
            token = self._transport.token()
            answer = self._transport.exchange(method, path, body=body, limit_bytes=limit_bytes)
        except TokenError as error:
            verdict = _token_verdict(error)
            return ApiReply(call=call, verdict=verdict, sent=False), ""
        # Before the answer is classified: some texts mean another thing in another release.
        if answer.status is not None and self._transport.connections > self._connections_seen:
            self.detect_server()  # a lost connection may have led to another release
        reply = replies.reply_to(call, answer, self.server.version)
        if call not in _ANSWERED_TO_EVERY_TOKEN and reply.outcome is Outcome.DELIVERED:
            self._verified = token  # only now can a GraphQL listing be believed
        return reply, answer.text

    def verify_token(self) -> ApiReply:
        """Check by REST whether the server accepts our token; the request lists one running job."""
        path = "/api/jobs/?state=running&items-per-page=1&page=1"
        return self.send(ApiCall.LISTING, "GET", path)[0]

    def is_token_verified(self) -> bool:
        """Return whether REST has accepted the token that the next request will carry."""
        try:
            return self._verified is not None and self._verified == self._transport.token()
        except TokenError:
            return False

    def forget_token(self) -> None:
        """Count the token as not verified until REST has accepted it again."""
        self._verified = None

    def _detect_generation(self) -> None:
        answer = self._transport.exchange("GET", "/api/cc-slurm-sync/", with_token=False)
        dialect = dialect_of_404(answer.status or 0, answer.text)
        if dialect is not None:
            self._shared.server = ServerInfo(None, dialect)


def _token_verdict(error: TokenError) -> ReplyVerdict:
    """Return the verdict on a request that was not sent because the token cannot be used."""
    if isinstance(error, ExpiredTokenError):
        return ReplyVerdict(Reason.TOKEN_EXPIRED, error.path)
    return ReplyVerdict(Reason.TOKEN_UNREADABLE, str(error))


def encoded(document: Mapping[str, object]) -> bytes:
    """Return a body as JSON in UTF-8; characters that UTF-8 cannot hold become `?`."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
