"""One HTTP exchange with the server: limited in time and size, without redirects.

No redirect is followed (a 301 would turn a POST into a GET that may answer 200), nothing is taken
from the environment (proxies and ~/.netrc would see or replace the token), certificates are always
verified. The token appears in no message. A failed exchange returns a fault.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

from ccbackend.errors import Fault
from ccbackend.wire.connection_errors import error_chain, tls_fault, was_dropped
from ccbackend.wire.deadline_guard import DeadlineAdapter, DeadlineGuard

MAX_RETRY_AFTER_SECONDS = 900.0
_MAX_STALE_SECONDS = 5.0  # a stale connection breaks at once; later the server was at work
_CHUNK_BYTES = 65_536
_FIRST_FINAL_STATUS = 200
# of requests: the URL or `ca_file`; of urllib3: the connection; ValueError: a header
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, OSError)
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
    """A sender of HTTP requests to one server over one connection at a time; for one thread.

    Built on `requests`: it checks the URL, chooses the proxy and its password, sets the
    certificates and makes the connection pool of urllib3. The pool then sends each request. The
    session would merge environment (an administrator's `http_proxy` must not receive the token),
    cookies and its own headers into each one, which takes longer than the exchange; so only its
    proxies are used.
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
        self._proxies = session.proxies
        self._base_url = base_url
        self._token = token
        self._verify = ca_file or True
        self._clock = clock
        self._guard = DeadlineGuard(clock)
        self._adapter = DeadlineAdapter(self._guard)
        self._pool: Any = None
        self._path_prefix = ""
        """What a path begins with: the server's URL if a proxy forwards the request, else ""."""

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
        self._pool = None
        self._adapter.close()

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
        """Make one attempt; return the answer, and whether a reused connection broke before it."""
        self._guard.start_deadline(
            deadline_seconds=self.limits.deadline_seconds, read_seconds=self.limits.read_seconds
        )
        try:
            response = self._send(method, path, body, token)
        except _FAILURES as error:
            return self._failed_answer(error, token), self._guard.reused and was_dropped(error)
        with contextlib.closing(response):
            return self._read_answer(response, token, limit_bytes), False

    def _send(
        self, method: str, path: str, body: bytes | None, token: str | None
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; return the answer, whose text is still to be read.

        Raises:
            RequestException, HTTPError, ValueError, OSError: as in `_FAILURES`.
        """
        if self._pool is None:
            self._pool = self._new_pool()
        # Before each request: the next connection would not name the file that is missing.
        self._adapter.cert_verify(self._pool, self._base_url, self._verify, None)
        limits = self.limits
        # No redirect is followed: it would send the token to another address and turn a POST into
        # a GET. Nothing is repeated: only `exchange` knows when that is safe.
        response: urllib3.BaseHTTPResponse = self._pool.urlopen(
            method,
            self._path_prefix + path,
            body=body,
            headers=_headers(body, token),
            redirect=False,
            retries=False,
            assert_same_host=False,  # a proxy gets whole URLs
            preload_content=False,
            timeout=urllib3.Timeout(connect=limits.connect_seconds, read=limits.read_seconds),
        )
        return response

    def _new_pool(self) -> Any:
        """Return the connection pool for the server or its proxy; set the prefix of the paths.

        Raises:
            RequestException, HTTPError: the URL or the proxy is invalid.
        """
        server = requests.PreparedRequest()
        server.prepare_url(self._base_url, None)
        self._path_prefix = self._adapter.request_url(server, self._proxies).removesuffix("/")
        return self._adapter.get_connection_with_tls_context(
            server, self._verify, proxies=self._proxies
        )

    def _read_answer(
        self, response: urllib3.BaseHTTPResponse, token: str | None, limit_bytes: int
    ) -> HttpAnswer:
        # `HTTPResponse.begin` skips only 100 (CPython 3.11, http/client.py), and takes any other
        # interim answer for a final one without text: the final one would count as that of the next
        # request. A connection whose answer is not read is closed.
        if response.status < _FIRST_FINAL_STATUS:
            return HttpAnswer(fault=Fault.BROKEN, text=f"interim answer {response.status}")
        body = bytearray()
        try:
            for part in response.stream(_CHUNK_BYTES):
                body += part
                if len(body) > limit_bytes:
                    return HttpAnswer(fault=Fault.TOO_LARGE, text=f"over {limit_bytes} bytes")
        except _FAILURES as error:
            return self._failed_answer(error, token)
        return HttpAnswer(
            status=response.status,
            text=_mask_token(token, body.decode("utf-8", "replace")),
            retry_after_seconds=retry_after(response.headers.get("Retry-After"), time.time()),
        )

    def _failed_answer(self, error: Exception, token: str | None) -> HttpAnswer:
        chain = list(error_chain(error))
        text = _mask_token(token, f"{type(error).__name__}: {chain[-1]}")[:300]
        if isinstance(error, requests.exceptions.SSLError):  # urllib3 raises another class
            return HttpAnswer(fault=Fault.CA_FILE, text=text, sent=False)
        # Nothing was sent while connecting, so the request certainly has had no effect.
        if self._guard.connecting:
            fault = tls_fault(chain) or Fault.UNREACHABLE
            return HttpAnswer(fault=fault, text=text, sent=False)
        # Here the server may have the request: the outcome is unknown, not negative.
        if any(isinstance(part, TimeoutError) for part in chain):
            return HttpAnswer(fault=Fault.TIMED_OUT, text=text)
        return HttpAnswer(fault=Fault.BROKEN, text=text)


def _headers(body: bytes | None, token: str | None) -> dict[str, str]:
    """Return the headers of a request; urllib3 adds only `Host` and `Content-Length`.

    Raises:
        RequestException: the token cannot be a header.
    """
    # Not compressed: a small compressed answer could take the memory before its size is known.
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "cc-slurm-sync",
        "Connection": "keep-alive",
    }
    if body is not None:
        headers["Content-Type"] = "application/json"
    if token is not None:
        headers["X-Auth-Token"] = token
        # http.client would send a token of two lines if the second one is indented
        requests.utils.check_header_validity(("X-Auth-Token", token))
    return headers


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, 0 to 900; None if unusable."""
    if value is None:
        return None
    try:
        is_number = value.strip().isdigit()
        seconds = float(value) if is_number else parsedate_to_datetime(value).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _mask_token(token: str | None, text: str) -> str:
    """Return the text without the token, also where a library quotes it."""
    if not token:
        return text
    return text.replace(token, "***").replace(repr(token)[1:-1], "***")
