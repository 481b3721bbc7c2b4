"""GET, HEAD, PUT, DELETE of one object and the listing, once the caller may and the container is found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, Final

from aiohttp import web

from stow.errors import (
    BodyTooShortError,
    InvalidArgumentError,
    LimitExceededError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StowError,
)
from stow.gateway import answers, headers
from stow.gateway.access import WriteRights, decide_write, explain
from stow.gateway.audit import Call
from stow.gateway.bodies import BackendWatch, RequestBody, backend_deadline, send
from stow.gateway.headers import WriteConditions
from stow.gateway.resolve import Resolved
from stow.gateway.settings import GatewaySettings
from stow.storage import conditions
from stow.storage.model import Method, ObjectMetadata, SignedURLProperties, WriteOptions
from stow.storage.names import printable

DEFAULT_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, ready to be served."""

    request: web.BaseRequest
    call: Call
    at: Resolved
    settings: GatewaySettings


async def head(exchange: Exchange, key: str) -> web.StreamResponse:
    """The headers that a GET would have, preconditions included."""
    asked = headers.read_conditions(exchange.request.headers)
    async with backend_deadline(exchange.settings.deadlines.backend_total_s):
        found = await exchange.at.store.head(exchange.at.reference(key), scope=exchange.at.scope)
    if not found.exists:
        raise absent(exchange, key)
    conditions.check(asked, found)
    answer = web.StreamResponse(status=200, headers=answers.object_headers(found))
    answer.content_length = found.size_bytes
    return answer


def absent(exchange: Exchange, key: str) -> ObjectNotFoundError:
    """As a read says it."""
    return ObjectNotFoundError("The object does not exist.", container=exchange.at.container, key=printable(key))


async def get(exchange: Exchange, key: str, *, may_redirect: bool = False) -> web.StreamResponse:
    """The object, or one range of it. A stream that fails once the answer has begun resets the connection."""
    request, at, deadlines = exchange.request, exchange.at, exchange.settings.deadlines
    asked = headers.read_conditions(request.headers)
    wanted = headers.byte_range(request.headers)
    if may_redirect:
        redirect = await _redirect(exchange, key)
        if redirect is not None:
            return redirect
    async with backend_deadline(deadlines.first_byte_s):
        opened = await at.store.read_raw(at.reference(key), byte_range=wanted, conditions=asked, scope=at.scope)
    async with opened as stream:
        found = stream.metadata
        partial = wanted is not None and conditions.range_applies(asked, found)
        answer = web.StreamResponse(status=206 if partial else 200, headers=answers.object_headers(found))
        if partial:
            answer.headers["Content-Range"] = f"bytes {stream.start}-{stream.end - 1}/{found.size_bytes}"
        answer.content_length = stream.end - stream.start
        exchange.call.status, exchange.call.started = answer.status, True
        await answer.prepare(request)
        sent_before = exchange.call.bytes_out
        await send(stream, answer, idle_s=deadlines.backend_idle_s, on_bytes=lambda n: _sent(exchange.call, n))
        if exchange.call.bytes_out - sent_before != stream.end - stream.start:
            raise BodyTooShortError("The backend's stream ended before its announced size.")
        await answer.write_eof()
    return answer


def _sent(call: Call, size_bytes: int) -> None:
    call.bytes_out += size_bytes


async def _redirect(exchange: Exchange, key: str) -> web.StreamResponse | None:
    """A 307 to a signed URL, for a plain read of something large that the location signs GETs for; None: serve it."""
    at, request = exchange.at, exchange.request
    plain = not any(
        name in request.headers for name in ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    )
    if not plain or at.spec.member == "local" or Method.GET not in at.store.config.sign_methods:
        return None
    async with backend_deadline(exchange.settings.deadlines.backend_total_s):
        found = await at.store.head(at.reference(key), scope=at.scope)
        if not found.exists:
            raise absent(exchange, key)
        if found.size_bytes < exchange.settings.redirect_min_bytes:
            return None
        try:
            signed = await at.store.create_signed_url(
                at.reference(key), SignedURLProperties(Method.GET), scope=at.scope
            )
        except StowError:  # whoever cannot sign may still read, and a read that cannot be served says so itself
            return None
    return answers.empty(307, {"Location": signed.url, "Cache-Control": "no-store"})


async def put(
    exchange: Exchange, key: str, rights: WriteRights, *, max_size_bytes: int | None = None
) -> web.StreamResponse:
    """Store the body as a whole or not at all."""
    request, at, settings = exchange.request, exchange.at, exchange.settings
    asked = headers.write_conditions(request.headers)
    if "Content-Range" in request.headers:
        raise InvalidArgumentError("A PUT stores a whole object; Content-Range is not taken (RFC 9110 14.5).")
    body = RequestBody(request, idle_s=settings.deadlines.body_idle_s)
    granted = decide_write(rights, asked, at.store.capabilities)
    limits = [limit for limit in (settings.limits.max_object_bytes, max_size_bytes) if limit is not None]
    limit = min(limits, default=None)
    if limit is not None and (body.size_bytes or 0) > limit:
        raise too_large(limit)
    options = WriteOptions(
        attributes=headers.attributes(request.headers),
        content_md5=headers.content_md5(request.headers),
        if_match=granted.if_match,
        if_none_match=granted.if_none_match,
    )
    try:
        if body.expects_continue:
            await _check_early(exchange, key, granted)
        async with BackendWatch(settings.deadlines.backend_idle_s) as watch:
            written = await at.store.write_raw(
                at.reference(key), body.size_bytes, options, _limited(body, watch, limit), scope=at.scope
            )
    except PreconditionFailedError as error:
        raise explain(error, asked, granted) from error
    except Exception as error:
        if body.failure is not None and body.failure is not error:
            raise body.failure from error  # the driver only knows that its source failed
        raise
    finally:
        exchange.call.bytes_in = body.received_bytes
    return answers.empty(201 if granted.if_none_match else 200, written_headers(written))


async def _limited(body: RequestBody, watch: BackendWatch, limit_bytes: int | None) -> AsyncIterator[bytes]:
    async for chunk in body.chunks(watch):
        if limit_bytes is not None and body.received_bytes > limit_bytes:
            raise too_large(limit_bytes)
        yield chunk


def too_large(limit_bytes: int) -> LimitExceededError:
    return LimitExceededError(f"An object may have {limit_bytes} bytes here; nothing was stored.")


async def _check_early(exchange: Exchange, key: str, granted: WriteConditions) -> None:
    """The client waits to hear whether its body is wanted: a condition that fails already is said before the body is sent."""
    if granted == WriteConditions():
        return
    async with backend_deadline(exchange.settings.deadlines.backend_total_s):
        found = await exchange.at.store.head(exchange.at.reference(key), scope=exchange.at.scope)
    holds = not found.exists if granted.if_none_match else found.exists and granted.if_match in {"*", found.etag}
    if not holds:
        raise precondition_failed(granted)


def precondition_failed(granted: WriteConditions) -> StowError:
    what = "exists already" if granted.if_none_match else "is not the version that If-Match names"
    return PreconditionFailedError(f"The object {what}; nothing was stored.")


def written_headers(written: ObjectMetadata) -> dict[str, str]:
    """What a PUT and a copy say about the new version. No date: not every backend tells it with the write."""
    known = answers.object_headers(replace(written, attributes=type(written.attributes)()))
    return {name: known[name] for name in ("ETag", "Stow-Checksum-MD5", "Stow-Checksum-CRC32C") if name in known}


async def delete(exchange: Exchange, key: str) -> web.StreamResponse:
    """Absent already is success, unless If-Match says otherwise."""
    asked = headers.write_conditions(exchange.request.headers)
    if asked.if_none_match:
        raise InvalidArgumentError("If-None-Match has no meaning for a DELETE; leave it out.")
    async with backend_deadline(exchange.settings.deadlines.backend_total_s):
        await exchange.at.store.delete(exchange.at.reference(key), if_match=asked.if_match, scope=exchange.at.scope)
    return answers.empty(204)


async def listing(exchange: Exchange, query: Mapping[str, str]) -> web.StreamResponse:
    """One page as JSON. ``cursor`` is null at the end and only there."""
    limit = query.get("limit", str(DEFAULT_PAGE))
    if not limit.isascii() or not limit.isdigit() or len(limit) > 6:
        raise InvalidArgumentError("limit is not a whole number.")
    at = exchange.at
    async with backend_deadline(exchange.settings.deadlines.backend_total_s):
        page = await at.store.list(
            at.reference(query.get("prefix", "")),
            int(limit),
            query.get("cursor"),  # an empty one is no start: refused
            delimiter=query.get("delimiter") or None,
            scope=at.scope,
        )
    found: list[dict[str, Any]] = [
        {
            "key": each.key,
            "size": each.size_bytes,
            "etag": each.etag,
            "lastModified": each.last_modified.astimezone(UTC).isoformat() if each.last_modified else None,
        }
        for each in page.objects
    ]
    answer = answers.document(200, {"objects": found, "prefixes": list(page.prefixes), "cursor": page.cursor})
    # Sent here, not by aiohttp behind us: until the client has taken it, its megabytes count as a request in flight.
    exchange.call.status, exchange.call.started = answer.status, True
    await answer.prepare(exchange.request)
    await answer.write_eof()
    exchange.call.bytes_out += answer.content_length or 0
    return answer
