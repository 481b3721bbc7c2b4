"""A ``requests`` session that opens no socket: its requests go out over a driver's own connections.

For SDKs that take a session (Google's and OpenStack's). It reads no environment, no ``.netrc`` and no proxy, follows no redirect and keeps
no cookie. Used from a thread of :class:`stow.transport.threads.Threads` only.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse
from yarl import URL

from stow.transport.connections import Answer
from stow.transport.faults import REDIRECT
from stow.transport.threads import Threads

Carry = Callable[[str, URL, Mapping[str, str], bytes], Awaitable[Answer]]
"""Sends (method, URL, headers, body) and gives the answer, whatever its status."""
_UNSENT: Final = frozenset({"connection", "content-length", "accept-encoding", "user-agent"})


class _Adapter(BaseAdapter):
    def __init__(self, threads: Threads, carry: Carry) -> None:
        super().__init__()
        self._threads = threads
        self._carry = carry

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body = request.body or b""
        sent = body.encode() if isinstance(body, str) else bytes(body)
        headers = {name.lower(): _text(value) for name, value in request.headers.items() if name.lower() not in _UNSENT}
        url = URL(request.url or "", encoded=True)
        answer = self._threads.exchange(lambda: self._carry(request.method or "GET", url, headers, sent))
        if 300 <= answer.status < 400 and "location" in answer.headers:
            kind, message = REDIRECT
            raise kind(message, status=answer.status)
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.raw = HTTPResponse(io.BytesIO(answer.body), preload_content=False, status=answer.status)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """The connections belong to the driver."""


def requests_session(threads: Threads, carry: Carry) -> requests.Session:
    """A session whose requests ``carry`` sends."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(threads, carry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
