"""A server that stands before fake-gcs-server and verifies what that one does not; and the endpoints beside Cloud Storage.

How to talk to it: `endpoint` stands for `https://storage.googleapis.com` (JSON API, uploads, XML API in path style) and
for everything else that Google's identity needs:

- `POST /token` is the token endpoint (`token_url`): assertions of a registered account become bearer tokens.
- `POST /v1/projects/-/serviceAccounts/<e-mail>:signBlob` is the IAM Credentials API: signs with the account's key.
- `/computeMetadata/v1/...` is the metadata server, with `google.metadata_account` as its default service account.

What it verifies: V4 signatures in the query (`goog4`), to the second; bearer tokens with their life; `account` may do
everything, `denied_account` has valid credentials and no right (403); without credentials only objects of
`public_buckets` are read and listed (else 401). A resumable upload's session URI is its own credential, as at Google. A
signed `x-goog-content-sha256` is compared with the body. What it does not verify: scopes, HMAC signatures, policy
documents, IAM beyond those two accounts. What then passes is fake-gcs-server's behaviour, with its shortfalls, but for
one: PUT in the XML API is let through with a bearer token too.

The request goes on with its raw path unchanged; bodies stream both ways; links in answers lead here. `requests` and
`counts` tell what came. Time is `clock`, which a test replaces (`front.clock = lambda: ...`); tokens live
`identities.token_life_s`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from servers import goog4
from servers.gcs_errors import JSON_API, Refusal, refused
from servers.google_endpoints import GoogleEndpoints, bearer
from servers.google_identity import Clock, Identities, ServiceAccount, make_account

TOKEN_LIFE_S = 3600.0
KEPT_REQUESTS = 10_000
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
BODY_DIFFERS = "The body is not the one that was signed."
UPSTREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=60)
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
SIGN_BLOB = re.compile(r"/v1/projects/-/serviceAccounts/(?P<email>[^/:]+):signBlob")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request for Cloud Storage as it came; `target` is the raw path and query."""

    method: str
    target: str
    headers: CIMultiDictProxy[str] = field(repr=False)


class GcsFront:
    """Made by `running_front`. `counts` counts by route: `storage`, `token`, `sign_blob`, and `metadata:<path>`."""

    def __init__(
        self, upstream: str, accounts: Collection[ServiceAccount], *, clock: Clock, token_life_s: float
    ) -> None:
        self.upstream = upstream
        self.endpoint = ""
        self.clock = clock
        self.account, self.denied_account = accounts
        self.counts: collections.Counter[str] = collections.Counter()
        self.requests: collections.deque[Seen] = collections.deque(maxlen=KEPT_REQUESTS)
        # Asked for each time: a test puts its own clock in.
        self.identities = Identities(accounts, clock=lambda: self.clock(), token_life_s=token_life_s)  # noqa: PLW0108
        self.google = GoogleEndpoints(self.identities, self.counts, token_url=lambda: self.token_url)
        self.google.metadata_account = self.account
        self.public_buckets: set[str] = set()
        self.session: aiohttp.ClientSession
        self._uploads: set[str] = set()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def token_url(self) -> str:
        return f"{self.endpoint}/token"

    @property
    def authority(self) -> str:
        """Host and port, as `GCE_METADATA_HOST` has them."""
        return urlsplit(self.endpoint).netloc

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path == "/token":
            return await self.google.token(request)
        is_stranger = "Authorization" not in request.headers and not goog4.is_signed(request.raw_path)
        if path.startswith("/computeMetadata/") or (path == "/" and is_stranger):
            return self.google.metadata(request, path)
        if (found := SIGN_BLOB.fullmatch(path)) is not None:
            return await self.google.sign_blob(request, unquote(found["email"]))
        if not path.startswith("/") or path.startswith("/_internal/"):
            return web.Response(status=404)  # the emulator's own switches are not Google's
        self.counts["storage"] += 1
        self.requests.append(Seen(request.method, request.raw_path, request.headers))
        self._in_flight += 1
        self._idle.clear()
        try:
            content_sha256 = self._authorize(request)
            return await self._pass_on(request, content_sha256)
        except Refusal as refusal:
            return refused(request, refusal)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def drained(self) -> None:
        """Return when no request for Cloud Storage is under way: a cut one has then ended at the backend too."""
        await self._idle.wait()

    def _authorize(self, request: web.BaseRequest) -> str | None:
        """The hash that the body must have, if one is signed.

        Raises:
            Refusal: it is not allowed.
        """
        content_sha256 = None
        if goog4.is_signed(request.raw_path):
            verdict = goog4.verify(
                request.method,
                request.raw_path,
                list(request.headers.items()),
                keys=self.identities.public_keys,
                now=self.clock(),
            )
            if isinstance(verdict, goog4.Refused):
                raise Refusal(verdict.status, verdict.code, "invalid", verdict.details, verdict.parameter)
            account = self.identities.accounts[verdict.signer]
            content_sha256 = verdict.content_sha256
        elif "Authorization" in request.headers:
            holder = bearer(request, self.identities)
            if holder is None:
                raise Refusal(401, "AuthenticationRequired", "authError", "Invalid Credentials")
            account = holder
        elif self._is_public(request) or self._is_upload(request):
            return None
        else:
            raise Refusal(401, "AuthenticationRequired", "required", "Anonymous caller does not have access.")
        if not account.is_allowed:
            raise Refusal(403, "AccessDenied", "forbidden", f"{account.email} does not have access.")
        return content_sha256

    def _is_public(self, request: web.BaseRequest) -> bool:
        """Whether `allUsers` may read this: objects and their list, and not the bucket itself."""
        if request.method not in ("GET", "HEAD"):
            return False
        path = request.raw_path.partition("?")[0]
        found = JSON_API.match(path)
        if found is not None:
            return found["objects"] is not None and unquote(found["bucket"]) in self.public_buckets
        return unquote(path.split("/")[1]) in self.public_buckets

    def _is_upload(self, request: web.BaseRequest) -> bool:
        """Whether this is the session URI of an upload that somebody began here."""
        given = parse_qs(request.raw_path.partition("?")[2]).get("upload_id", [])
        return len(given) == 1 and given[0] in self._uploads

    async def _pass_on(self, request: web.BaseRequest, content_sha256: str | None) -> web.StreamResponse:
        target = request.raw_path
        if request.method == "PUT" and not JSON_API.match(target) and not goog4.is_signed(target):
            # fake-gcs-server takes a PUT in the XML API for a signed one alone; any value will do.
            target += ("&" if "?" in target else "?") + "X-Goog-Algorithm=any"
        headers = CIMultiDict(request.headers)
        for name in ("Host", "Authorization", "Expect", *HOP_BY_HOP):
            headers.popall(name, None)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # that was no part of the answer
        body = _Body(request.content, content_sha256) if request.body_exists else None
        if body is None and content_sha256 not in (None, EMPTY_SHA256):
            raise Refusal(400, "BadDigest", "invalid", BODY_DIFFERS)
        try:
            if _is_metadata(request):
                headers.popall("Accept-Encoding", None)  # the links in it are to be read
            async with self.session.request(
                request.method,
                URL(self.upstream + target, encoded=True),
                headers=headers,
                data=None if body is None else body.chunks(),
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                return await self._answer(request, answer)
        except aiohttp.ClientError:
            if body is None or not body.differs:
                raise
            raise Refusal(400, "BadDigest", "invalid", BODY_DIFFERS) from None

    async def _answer(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = CIMultiDict(answer.headers)
        for name in HOP_BY_HOP:
            headers.popall(name, None)
        for name in ("Location", "X-Goog-Upload-URL"):
            if name in headers:
                headers[name] = self._moved(headers[name])
        if request.method != "HEAD" and _is_metadata(request):
            # Clients follow the links in it, and would go round this front.
            headers.popall("Content-Length", None)
            text = (await answer.read()).replace(self.upstream.encode(), self.endpoint.encode())
            return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=text)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await response.prepare(request)
        if request.method != "HEAD":
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        await response.write_eof()
        return response

    def _moved(self, url: str) -> str:
        """A session URI that leads here, and is its own credential."""
        self._uploads.update(parse_qs(urlsplit(url).query).get("upload_id", []))
        return self.endpoint + url.removeprefix(self.upstream) if url.startswith(self.upstream) else url


@contextlib.asynccontextmanager
async def running_front(
    upstream: str,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    token_life_s: float = TOKEN_LIFE_S,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[GcsFront]:
    """A front of its own before the shared server `upstream`, on a port of the kernel; with `ssl_context` on HTTPS."""
    accounts = (make_account("stow"), make_account("nobody", is_allowed=False))
    front = GcsFront(upstream, accounts, clock=clock, token_life_s=token_life_s)
    # Content-Encoding is the object's own: nothing between unpacks it.
    runner = web.ServerRunner(web.Server(front.handle, auto_decompress=False, access_log=None))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
        await site.start()
        scheme = "http" if ssl_context is None else "https"
        front.endpoint = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        # Kept alive they would look like what the client under test has left open.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            timeout=UPSTREAM_TIMEOUT, auto_decompress=False, connector=connector, trust_env=False
        ) as front.session:
            yield front
    finally:
        await runner.cleanup()


def _is_metadata(request: web.BaseRequest) -> bool:
    """Whether the answer is a document of the JSON API, and not an object's content."""
    path, _, query = request.raw_path.partition("?")
    return (
        JSON_API.match(path) is not None
        and not path.startswith("/download/")
        and parse_qs(query).get("alt") != ["media"]
    )


class _Body:
    """The body on its way; where a hash is given, its last piece is held back until the hash is known to be right."""

    def __init__(self, content: aiohttp.StreamReader, sha256: str | None) -> None:
        self.differs = False
        self._content = content
        self._sha256 = sha256

    async def chunks(self) -> AsyncIterator[bytes]:
        digest, held = hashlib.sha256(), b""
        async for chunk in self._content.iter_any():
            if self._sha256 is None:
                yield chunk
                continue
            digest.update(chunk)
            if held:
                yield held
            held = chunk
        self.differs = self._sha256 is not None and digest.hexdigest() != self._sha256
        if self.differs:
            raise ValueError(BODY_DIFFERS)  # aborts the request before it is whole
        if held:
            yield held
