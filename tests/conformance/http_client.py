"""The HTTP form of ObjectClient: HTTP/1.1 over a raw socket, so that nothing on the way repairs, repeats or re-encodes anything.

One connection for each request. Objects are named by path and by query in turn. A problem document becomes the error of the tree that has
its code; a body that the server cut becomes BackendFailedError.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from conformance.clients import WHOLE, Body, Page
from stow import errors
from stow.errors import BackendFailedError, BodyTooShortError, NotModifiedError, RangeNotSatisfiableError, StowError
from stow.storage.model import (
    ByteRange,
    CopyOptions,
    ListedObject,
    Method,
    ObjectAttributes,
    ObjectMetadata,
    ObjectStream,
    ReadConditions,
    SignedURL,
    SignedURLProperties,
    WriteOptions,
)
from stow.storage.names import decode_metadata_value, encode_metadata_value

TIMEOUT_S = 30.0
BY_CODE: dict[str, type[StowError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StowError)
}
_ATTRIBUTES = {
    "content-type": "content_type",
    "content-encoding": "content_encoding",
    "content-language": "content_language",
    "content-disposition": "content_disposition",
}


@dataclass(slots=True)
class Answer:
    """An answer whose body is still to be read."""

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sending: asyncio.Task[None] | None = None

    @property
    def size_bytes(self) -> int:
        return int(self.headers.get("content-length", "0"))

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        left = 0 if self.status in {204, 304} else self.size_bytes
        while left:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    chunk = await self.reader.read(min(left, 1 << 16))
            except ConnectionError as exc:
                raise BackendFailedError("The answer was cut.") from exc
            if not chunk:
                raise BackendFailedError("The answer was cut.")
            left -= len(chunk)
            yield chunk

    async def aclose(self) -> None:
        if self.sending is not None:
            self.sending.cancel()
            await asyncio.gather(self.sending, return_exceptions=True)
        self.writer.transport.abort()


class HTTPStream:
    """Implements ObjectStream on an answer."""

    def __init__(self, answer: Answer, metadata: ObjectMetadata, start: int, end: int) -> None:
        self._answer = answer
        self.metadata, self.start, self.end = metadata, start, end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.chunks()

    async def __aenter__(self) -> HTTPStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._answer.aclose()


class HTTPClient:
    """``base`` is the path of one container."""

    def __init__(self, port: int, base: str, token: str) -> None:
        self._port = port
        self._base = base
        self._token = token
        self._turn = 0

    def _object(self, key: str) -> str:
        self._turn += 1
        if self._turn % 2:
            return f"/objects/{quote(key, safe='/')}"
        return f"/object?key={quote(key, safe='')}"

    async def _ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | AsyncIterator[bytes] | None = None,
        size_bytes: int | None = None,
    ) -> Answer:
        """Send, and give the answer to a success; raises the error of any other."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        sent = {"Host": "gateway", "Authorization": f"Bearer {self._token}", **(headers or {})}
        if isinstance(body, bytes):
            body, size_bytes = _one(body), len(body)
        if body is not None:
            sent |= {"Transfer-Encoding": "chunked"} if size_bytes is None else {"Content-Length": str(size_bytes)}
        lines = [f"{method} {self._base}{target} HTTP/1.1", *(f"{n}: {v}" for n, v in sent.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        sending = asyncio.create_task(_send(writer, body, size_bytes)) if body is not None else None
        answer = Answer(0, {}, reader, writer, sending)
        try:
            await self._receive(answer)
            if answer.status >= 300:
                raise await _error(answer, head=method == "HEAD")
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def _receive(self, answer: Answer) -> None:
        """The head of the answer. Where the body's source fails first, its error is raised and the connection cut."""
        receiving = asyncio.create_task(answer.reader.readuntil(b"\r\n\r\n"))
        waited = {receiving} if answer.sending is None else {receiving, answer.sending}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not receiving.done():
                    done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                    if answer.sending in done and receiving not in done:
                        await _raise_of_source(answer)
            raw = receiving.result()
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            await _raise_of_source(answer)
            raise BackendFailedError("There was no answer.") from exc
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
        status_line, *lines = raw.decode("latin-1").split("\r\n")
        answer.status = int(status_line.split(" ")[1])
        answer.headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines if line)}

    async def _document(self, answer: Answer) -> Any:
        try:
            return json.loads(await answer.body())
        finally:
            await answer.aclose()

    async def head(self, key: str, *, container: str | None = None) -> ObjectMetadata:
        try:
            answer = await self._ask("HEAD", self._object(key))
        except errors.ObjectNotFoundError:
            return ObjectMetadata(exists=False)
        await answer.aclose()
        return _metadata(answer.headers, answer.size_bytes)

    async def open(
        self,
        key: str,
        *,
        byte_range: ByteRange | None = None,
        conditions: ReadConditions | None = None,
        container: str | None = None,
    ) -> ObjectStream:
        headers = _condition_headers(conditions or ReadConditions())
        if byte_range is not None:
            headers["Range"] = byte_range.header()
        answer = await self._ask("GET", self._object(key), headers)
        start, end, size = 0, answer.size_bytes, answer.size_bytes
        if answer.status == 206:
            span, _, whole = answer.headers["content-range"].removeprefix("bytes ").partition("/")
            start, end, size = int(span.partition("-")[0]), int(span.partition("-")[2]) + 1, int(whole)
            assert end - start == answer.size_bytes
        return HTTPStream(answer, _metadata(answer.headers, size), start, end)

    async def write(
        self,
        key: str,
        body: Body,
        *,
        size_bytes: int | None = WHOLE,
        options: WriteOptions | None = None,
        container: str | None = None,
    ) -> ObjectMetadata:
        options = options or WriteOptions()
        if size_bytes == WHOLE:
            size_bytes = len(body) if isinstance(body, bytes) else None
        source = _one(body) if isinstance(body, bytes) else body
        headers = _write_headers(options)
        sent = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal sent
            async for chunk in source:
                sent += len(chunk)
                yield chunk

        answer = await self._ask("PUT", self._object(key), headers, body=counted(), size_bytes=size_bytes)
        await answer.aclose()
        return ObjectMetadata(
            exists=True,
            size_bytes=sent,  # the answer to a PUT does not say it
            etag=_etag(answer.headers),
            last_modified=_date(answer.headers.get("last-modified")),
            attributes=options.attributes,
        )

    async def list(
        self,
        prefix: str = "",
        *,
        limit: int = 1000,
        cursor: str | None = None,
        delimiter: str | None = None,
        container: str | None = None,
    ) -> Page:
        values = {"prefix": prefix or None, "limit": str(limit), "cursor": cursor, "delimiter": delimiter}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items() if value is not None)
        found = await self._document(await self._ask("GET", f"/objects?{query}"))
        objects = tuple(
            ListedObject(o["key"], o["size"], o["etag"], datetime.fromisoformat(o["lastModified"]))
            for o in found["objects"]
        )
        return Page(objects, tuple(found["prefixes"]), found["cursor"])

    async def delete(self, key: str, *, if_match: str | None = None, container: str | None = None) -> None:
        headers = {} if if_match is None else {"If-Match": _quoted(if_match)}
        await (await self._ask("DELETE", self._object(key), headers)).aclose()

    async def copy(
        self, source: str, destination: str, options: CopyOptions | None = None, *, container: str | None = None
    ) -> ObjectMetadata:
        options = options or CopyOptions()
        assert options.attributes is None, "a copy with new attributes has no HTTP form"
        order: dict[str, Any] = {"source": {"key": source}, "destination": {"key": destination}}
        if options.source_if_match is not None:
            order["source"]["ifMatch"] = options.source_if_match
        headers = {"Content-Type": "application/json"}
        headers |= _preconditions(options.if_match, if_none_match=options.if_none_match)
        found = await self._document(await self._ask("POST", "/copy", headers, body=json.dumps(order).encode()))
        return ObjectMetadata(exists=True, size_bytes=found["size"], etag=found["etag"])

    async def sign(self, key: str, properties: SignedURLProperties, *, container: str | None = None) -> SignedURL:
        order: dict[str, Any] = {"key": key, "method": properties.scope.value}
        if properties.expires_in is not None:
            order["expiresIn"] = int(properties.expires_in.total_seconds())
        if properties.content_md5 is not None:
            order["contentMD5"] = base64.b64encode(properties.content_md5).decode()
        if properties.content_type is not None:
            order["contentType"] = properties.content_type
        if properties.max_size_bytes is not None:
            order["maxBytes"] = properties.max_size_bytes
        if properties.headers:
            order["headers"] = dict(properties.headers)
        if properties.response_overrides:
            order["responseOverrides"] = {name.value: value for name, value in properties.response_overrides.items()}
        headers = {"Content-Type": "application/json"}
        found = await self._document(await self._ask("POST", "/sign", headers, body=json.dumps(order).encode()))
        expires_at = datetime.fromisoformat(found["expiresAt"])
        return SignedURL(found["url"], Method(found["method"]), expires_at, found["requiredHeaders"])


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _send(writer: asyncio.StreamWriter, body: AsyncIterator[bytes], size_bytes: int | None) -> None:
    """Raises what the source raises, or BodyTooShortError where it ends before the announced size."""
    left = size_bytes
    async for chunk in body:
        if not chunk:
            continue
        writer.write(chunk if left is not None else b"%x\r\n%b\r\n" % (len(chunk), chunk))
        left = None if left is None else left - len(chunk)
        await writer.drain()
    if left is None:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    elif left:
        raise BodyTooShortError("The source ended before its announced size.")


async def _raise_of_source(answer: Answer) -> None:
    """A lost connection while sending is told by the answer, or by its absence."""
    sending = answer.sending
    if sending is not None and sending.done() and not sending.cancelled():
        error = sending.exception()
        if error is not None and not isinstance(error, ConnectionError):
            raise error


async def _error(answer: Answer, *, head: bool) -> StowError:
    if answer.status == 304:
        return NotModifiedError("Not modified.", etag=_etag(answer.headers))
    code, said = answer.headers.get("stow-error-code"), ""
    if not head:
        document = json.loads(await answer.body())
        assert document["status"] == answer.status
        assert document["code"] == code
        said = json.dumps({name: value for name, value in document.items() if name != "type"})
    kind = BY_CODE.get(code or "")
    assert kind is not None, f"status {answer.status}, unknown code {code}"
    if kind is RangeNotSatisfiableError:
        size = answer.headers.get("content-range", "bytes */").removeprefix("bytes */")
        return RangeNotSatisfiableError("Not satisfiable.", size_bytes=int(size) if size else None)
    return kind(f"{answer.status} {code} {said}", status=answer.status)  # type: ignore[call-arg]  # NotModified and Range are above


def _metadata(headers: Mapping[str, str], size_bytes: int) -> ObjectMetadata:
    known: dict[str, Any] = {name: headers.get(header) for header, name in _ATTRIBUTES.items()}
    known["cache_control"] = headers.get("stow-cache-control")
    meta = {
        name.removeprefix("stow-meta-"): decode_metadata_value(value)
        for name, value in headers.items()
        if name.startswith("stow-meta-")
    }
    return ObjectMetadata(
        exists=True,
        size_bytes=size_bytes,
        etag=_etag(headers),
        last_modified=_date(headers.get("last-modified")),
        attributes=ObjectAttributes(**known, metadata=meta),
    )


def _etag(headers: Mapping[str, str]) -> str:
    value = headers["etag"]
    assert value.startswith('"')
    assert value.endswith('"')
    return value[1:-1]


def _date(text: str | None) -> datetime | None:
    return None if text is None else parsedate_to_datetime(text).astimezone(UTC)


def _quoted(tag: str) -> str:
    if tag == "*":
        return tag
    return f'W/"{tag[2:]}"' if tag.startswith("W/") else f'"{tag}"'


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _condition_headers(asked: ReadConditions) -> dict[str, str]:
    headers: dict[str, str] = {}
    if asked.if_match:
        headers["If-Match"] = ", ".join(map(_quoted, asked.if_match))
    if asked.if_none_match:
        headers["If-None-Match"] = ", ".join(map(_quoted, asked.if_none_match))
    if asked.if_modified_since:
        headers["If-Modified-Since"] = _http_date(asked.if_modified_since)
    if asked.if_unmodified_since:
        headers["If-Unmodified-Since"] = _http_date(asked.if_unmodified_since)
    if isinstance(asked.if_range, datetime):
        headers["If-Range"] = _http_date(asked.if_range)
    elif asked.if_range is not None:
        headers["If-Range"] = _quoted(asked.if_range)
    return headers


def _preconditions(if_match: str | None, *, if_none_match: bool) -> dict[str, str]:
    headers = {} if if_match is None else {"If-Match": _quoted(if_match)}
    return headers | ({"If-None-Match": "*"} if if_none_match else {})


def _write_headers(options: WriteOptions) -> dict[str, str]:
    stored = options.attributes
    headers = {
        header: value
        for header, value in (
            ("Content-Type", stored.content_type),
            ("Content-Encoding", stored.content_encoding),
            ("Content-Language", stored.content_language),
            ("Content-Disposition", stored.content_disposition),
            ("Cache-Control", stored.cache_control),
        )
        if value is not None
    }
    headers |= {f"Stow-Meta-{name}": encode_metadata_value(value) for name, value in stored.metadata.items()}
    if options.content_md5 is not None:
        headers["Content-MD5"] = base64.b64encode(options.content_md5).decode()
    return headers | _preconditions(options.if_match, if_none_match=options.if_none_match)
