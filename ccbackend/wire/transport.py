"""One careful exchange with the server: bounded in time and size, never led elsewhere.

No redirect is followed (a 301 would turn a POST into a GET that may answer 200), nothing is taken
from the environment (proxies and ~/.netrc would see or replace the token), certificates are always
verified. The token appears in no message. A failed exchange is a value, no exception.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache

import requests

from ccbackend.errors import Fault
from ccbackend.wire.deadline_guard import DeadlineAdapter, DeadlineGuard

# OpenSSL's words for a peer whose first bytes are no TLS record: plain HTTP, SSH, a wrong port.
_NO_TLS_REASONS = frozenset(
    {
        *("WRONG_VERSION_NUMBER", "WRONG_SSL_VERSION", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"),
        *("HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"),
    }
)
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def tls_fault(chain: Sequence[BaseException]) -> Fault | None:
    """Return the fault of a connection that failed at TLS; None: it failed for another reason.

    A handshake that is cut is an outage: the server may be restarting.

    Args:
        chain: the exception and all that are wrapped in it.
    """
    errors = [part for part in chain if isinstance(part, ssl.SSLError)]
    if any(isinstance(part, _CUT) for part in errors):
        return None
    if any(isinstance(part, ssl.SSLCertVerificationError) for part in errors):
        return Fault.CERTIFICATE
    if any(part.library == "SSL" for part in errors):
        is_plain = any(part.reason in _NO_TLS_REASONS for part in errors)
        return Fault.NO_TLS if is_plain else Fault.TLS
    # Certificates of ours that cannot be read or are none (X509, PEM) fail before a byte is sent.
    failed = any(isinstance(part, requests.exceptions.SSLError) for part in chain)
    return Fault.CA_FILE if errors or failed else None


MAX_RETRY_AFTER_SECONDS = 900.0
_MAX_STALE_SECONDS = 5.0  # a stale connection breaks at once; later the server was at work
_CHUNK_BYTES = 65_536
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeLimits:
    """Bounds of one exchange. `read_seconds` counts per receive, `deadline_seconds` in total."""

    connect_seconds: float = 5.0
    read_seconds: float = 60.0
    deadline_seconds: float = 90.0
    max_answer_bytes: int = 1_000_000
    max_list_bytes: int = 64_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back: a status with the whole text, or a fault.

    `sent` says whether the server may have seen the request.
    """

    status: int | None = None
    text: str = ""
    fault: Fault | None = None
    sent: bool = True
    retry_after_seconds: float | None = None


def new_session(proxy: str | None = None) -> requests.Session:
    """Return a session for a transport; `proxy` is the URL of a proxy for all its requests."""
    session = requests.Session()
    if proxy:
        session.proxies = {"http": proxy, "https": proxy}
    return session


class Transport:
    """Exchanges with one server over one connection at a time; for one thread.

    Of the session given only proxies and adapters are used; the latter are set here. Requests go
    to an adapter directly: the session would merge environment (an administrator's `http_proxy`
    must not receive the token), cookies and its own headers into each one, which takes longer than
    all the rest.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        *,
        token: Callable[[], str],
        ca_file: str | None = None,
        limits: ExchangeLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or ExchangeLimits()
        self._session = session
        self._base_url = base_url
        self._token = token
        self._verify = ca_file or True
        self._clock = clock
        self._guard = DeadlineGuard(clock)
        for scheme in ("http://", "https://"):
            session.mount(scheme, DeadlineAdapter(self._guard))

    def __repr__(self) -> str:
        return f"Transport({self._base_url!r})"

    def token(self) -> str:
        """Return the token that the next exchange will carry; `TokenError` if there is none."""
        return self._token()

    @property
    def connections(self) -> int:
        """How many connections were opened; more than one: some were lost in between."""
        return self._guard.connections_opened

    def close(self) -> None:
        """Close the connection; a later exchange opens a new one."""
        self._session.close()

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        limit_bytes: int | None = None,
        with_token: bool = True,
    ) -> HttpAnswer:
        """Send one request and read its whole answer; blocks at most `deadline_seconds`.

        A request that broke on a reused connection before any answer is sent once more on a fresh
        one: the server had closed it (idle for 10 or 20 s) and saw nothing.

        Raises:
            TokenError: the token file cannot be used.
        """
        token = self._token() if with_token else None
        limit = limit_bytes or self.limits.max_answer_bytes
        began = self._clock()
        answer, stale = self._attempt(method, path, body, token=token, limit_bytes=limit)
        # Only soon after the request began: a server that took it and closed the connection later
        # may have acted on it.
        if stale and self._clock() - began < _MAX_STALE_SECONDS:
            answer, _ = self._attempt(method, path, body, token=token, limit_bytes=limit)
        said = answer.status if answer.fault is None else answer.fault.name.lower()
        _log.debug("request %s %s: %s after %.2f s", method, path, said, self._clock() - began)
        return answer

    def _attempt(
        self, method: str, path: str, body: bytes | None, *, token: str | None, limit_bytes: int
    ) -> tuple[HttpAnswer, bool]:
        """Make one attempt; return whether it broke on a reused connection without an answer."""
        self._guard.start_deadline(
            deadline_seconds=self.limits.deadline_seconds, read_seconds=self.limits.read_seconds
        )
        try:
            request = _request(method, self._base_url + path, body, token)
            # The adapter follows no redirect, which would send the token to another address and
            # turn a POST into a GET.
            response = self._session.get_adapter(self._base_url).send(
                request,
                stream=True,
                timeout=(self.limits.connect_seconds, self.limits.read_seconds),
                verify=self._verify,
                proxies=self._session.proxies,
            )
        except OSError as error:  # what requests raises, and an unreadable ca_file
            return self._failed_answer(error, token), self._guard.reused and _was_dropped(error)
        with contextlib.closing(response):
            return self._read_answer(response, token, limit_bytes), False

    def _read_answer(
        self, response: requests.Response, token: str | None, limit_bytes: int
    ) -> HttpAnswer:
        body = bytearray()
        try:
            for part in response.iter_content(_CHUNK_BYTES):
                body += part
                if len(body) > limit_bytes:
                    return HttpAnswer(fault=Fault.TOO_LARGE, text=f"over {limit_bytes} bytes")
        except OSError as error:
            return self._failed_answer(error, token)
        return HttpAnswer(
            status=response.status_code,
            text=_mask_token(token, body.decode("utf-8", "replace")),
            retry_after_seconds=retry_after(response.headers.get("Retry-After"), time.time()),
        )

    def _failed_answer(self, error: OSError, token: str | None) -> HttpAnswer:
        chain = list(_error_chain(error))
        text = _mask_token(token, f"{type(error).__name__}: {chain[-1]}")[:300]
        if not isinstance(error, requests.RequestException):  # ca_file is missing
            return HttpAnswer(fault=Fault.CA_FILE, text=text, sent=False)
        # Nothing was sent while connecting, so the request certainly has had no effect.
        if self._guard.connecting:
            fault = tls_fault(chain) or Fault.UNREACHABLE
            return HttpAnswer(fault=fault, text=text, sent=False)
        # Here the server may have the request: the outcome is unknown, not negative.
        if any(isinstance(part, TimeoutError) for part in chain):
            return HttpAnswer(fault=Fault.TIMED_OUT, text=text)
        return HttpAnswer(fault=Fault.BROKEN, text=text)


def _request(
    method: str, url: str, body: bytes | None, token: str | None
) -> requests.PreparedRequest:
    """Return a request with the headers set here and no others.

    Raises:
        RequestException: the URL or the token is invalid.
    """
    # Not compressed: a small compressed answer could take the memory before its size is known.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    headers |= {"User-Agent": "cc-slurm-sync", "Connection": "keep-alive"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if body is not None or method != "GET":
        headers["Content-Length"] = str(len(body or b""))
    if token is not None:
        headers["X-Auth-Token"] = token
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, _checked_url(url), body
    request.prepare_headers(headers)
    return request


@lru_cache(maxsize=16)
def _checked_url(url: str) -> str:
    """Return a URL with a path, escaped.

    Raises:
        RequestException: it is invalid.
    """
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return request.url or url


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, 0 to 900; None if unusable."""
    if value is None:
        return None
    try:
        is_number = value.strip().isdigit()
        seconds = float(value) if is_number else parsedate_to_datetime(value).timestamp() - now
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _mask_token(token: str | None, text: str) -> str:
    """Return the text without the token, also where a library quotes it."""
    if not token:
        return text
    return text.replace(token, "***").replace(repr(token)[1:-1], "***")


def _error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that are wrapped in it, outermost first."""
    seen: list[BaseException] = []
    waiting: list[BaseException] = [error]
    while waiting:
        part = waiting.pop(0)
        if part in seen:
            continue
        seen.append(part)
        yield part
        inner = (*part.args, getattr(part, "reason", None), part.__cause__, part.__context__)
        waiting += [each for each in inner if isinstance(each, BaseException)]


def _was_dropped(error: BaseException) -> bool:
    """Return whether the peer closed the connection without a byte of answer."""
    dropped = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
    return any(isinstance(part, dropped) for part in _error_chain(error))
