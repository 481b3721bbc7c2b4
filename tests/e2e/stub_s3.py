"""An S3 server that stalls where it is told to, and notes when the other side ends a connection.

It answers what a location needs to be Ready (buckets that exist, tags, empty listings) from memory, takes multipart uploads, and checks no
signature. A request that matches the stall is answered as far as the stall says, then never again: what counts is how soon its connection
is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
OBJECT_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class Stall:
    """Where to stop. ``reached`` is set when a request got there, ``closed`` when its client ended the connection."""

    method: str
    contains: str
    """In the request target; empty matches all objects."""
    answer_bytes: int | None = None
    """GET: how much of the body is sent; None: not even the head. PUT: how much of the body is taken."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class StubS3:
    """Buckets by name, with their tags; one stall at a time."""

    def __init__(self, region: str | None) -> None:
        self.region = region
        self.tags: dict[str, bytes] = {}
        self.stall: Stall | None = None
        self.seen: list[str] = []
        self.signed_by: list[tuple[str, str]] = []
        """Request line and access key of what was answered."""
        self.refused: set[str] = set()
        """Access keys that are not known any more."""
        self._arrived = asyncio.Event()
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def saw(self, method: str, contains: str, *, since: int) -> None:
        """Wait for a request; ``since``: how many had come before it."""
        while not any(line.startswith(f"{method} ") and contains in line for line in self.seen[since:]):
            self._arrived.clear()
            await self._arrived.wait()

    async def answered(self, method: str, contains: str, *, access_key: str) -> None:
        """Wait until a request that was signed with this key has its answer."""
        while not any(
            line.startswith(f"{method} ") and contains in line and key == access_key for line, key in self.signed_by
        ):
            self._arrived.clear()
            await self._arrived.wait()

    def key_of_last(self, method: str, contains: str) -> str:
        """The access key of the latest such request."""
        return next(key for line, key in reversed(self.signed_by) if line.startswith(f"{method} ") and contains in line)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields if each)}
        self.seen.append(f"{method} {target}")
        self._arrived.set()
        stall = self.stall
        if stall is not None and stall.method == method and stall.contains in target:
            await self._stall(stall, reader, writer, headers)
            return False
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, headers)
        access_key = headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]
        if self.region is not None and f"/{self.region}/s3/" not in headers.get("authorization", ""):
            status, answer = 400, _error("AuthorizationHeaderMalformed", f"<Region>{self.region}</Region>")
            more = [f"x-amz-bucket-region: {self.region}"]
        elif access_key in self.refused:
            status, answer, more = 403, b"" if method == "HEAD" else _error("InvalidAccessKeyId"), []
        else:
            status, answer, more = self._answer(method, target, body)
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(answer)}", "x-amz-request-id: 1", *more]
        writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else answer))
        await writer.drain()
        self.signed_by.append((f"{method} {target}", access_key))
        self._arrived.set()
        return True

    async def _stall(
        self, stall: Stall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]
    ) -> None:
        if stall.method == "PUT":
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if stall.answer_bytes:
                await reader.readexactly(stall.answer_bytes)
        elif stall.answer_bytes is not None:
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {OBJECT_BYTES}\r\nETag: "e"\r\nLast-Modified: {WHEN}\r\n\r\n'
            writer.write(head.encode() + b"x" * stall.answer_bytes)
            await writer.drain()
        stall.reached.set()
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        stall.closed.set()

    def _answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes, list[str]]:
        path, _, query = target.partition("?")
        bucket, _, key = path.lstrip("/").partition("/")
        if key:
            return self._object(method, query)
        if method == "PUT" and query.startswith("tagging"):
            self.tags[bucket] = body
            return 200, b"", []
        if method == "PUT":
            self.tags[bucket] = b""
            return 200, b"", [f"Location: /{bucket}"]
        if not bucket:
            xml = f'<ListAllMyBucketsResult xmlns="{NAMESPACE}"><Buckets/></ListAllMyBucketsResult>'
            return 200, xml.encode(), []
        if bucket not in self.tags:
            return 404, b"" if method == "HEAD" else _error("NoSuchBucket"), []
        if method == "HEAD":
            return 200, b"", ["x-amz-bucket-region: us-east-1"]
        if query.startswith("tagging"):
            tags = self.tags[bucket]
            return (200, tags, []) if tags else (404, _error("NoSuchTagSet"), [])
        if query.startswith("location"):
            return 200, f'<LocationConstraint xmlns="{NAMESPACE}"/>'.encode(), []
        if "uploads" in query:
            xml = f'<ListMultipartUploadsResult xmlns="{NAMESPACE}"><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>'
            return 200, xml.encode(), []
        kind = "ListVersionsResult" if "versions" in query else "ListBucketResult"
        xml = f'<{kind} xmlns="{NAMESPACE}"><Name>{bucket}</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></{kind}>'
        return 200, xml.encode(), []

    def _object(self, method: str, query: str) -> tuple[int, bytes, list[str]]:
        if method == "POST" and "uploads" in query:
            xml = f'<InitiateMultipartUploadResult xmlns="{NAMESPACE}"><UploadId>u1</UploadId></InitiateMultipartUploadResult>'
            return 200, xml.encode(), []
        if method == "PUT":
            return 200, b"", ['ETag: "e"']
        if method == "DELETE":
            return 204, b"", []
        return 404, b"" if method == "HEAD" else _error("NoSuchKey"), []


CANARY = "canary-text-of-a-backend"
"""What a backend says must not appear anywhere."""
WHEN = "Thu, 01 Jan 2026 00:00:00 GMT"


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))


def _error(code: str, more: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>{CANARY}</Message>{more}</Error>".encode()


@asynccontextmanager
async def stub_s3(*, region: str | None = None) -> AsyncIterator[StubS3]:
    """With a region, requests that are signed for another one are answered as AWS does."""
    stub = StubS3(region)
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, limit=1024 * 1024)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
