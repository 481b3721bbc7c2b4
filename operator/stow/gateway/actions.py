"""Signing and copying: POST with a small JSON document, strictly read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final

from aiohttp import web

from stow.api.durations import parse_duration
from stow.errors import BodyError, InvalidArgumentError, PreconditionFailedError
from stow.gateway import answers, headers
from stow.gateway.access import NEEDED, READ, SIGNED_NEEDS, Verb, WriteRights, decide_write, explain
from stow.gateway.audit import Call
from stow.gateway.bodies import RequestBody, backend_deadline
from stow.gateway.gate import Gate
from stow.gateway.objects import Exchange, written_headers
from stow.gateway.ports import Identity
from stow.gateway.resolve import Resolved
from stow.gateway.routes import Family, Target, check_name
from stow.gateway.settings import GatewaySettings
from stow.storage.model import CopyOptions, Method, ObjectMetadata, ResponseOverride, SignedURLProperties
from stow.storage.store import copy_between

_SIGN_FIELDS: Final = frozenset(
    {"key", "method", "expiresIn", "contentMD5", "contentType", "maxBytes", "headers", "responseOverrides"}
)
_SOURCE_FIELDS: Final = frozenset({"namespace", "container", "location", "clusterLocation", "key", "ifMatch"})


async def read_document(
    request: web.BaseRequest, call: Call, settings: GatewaySettings, known: frozenset[str]
) -> Mapping[str, Any]:
    """The request's JSON object.

    Raises:
        BodyError: not one, with doubled or unknown members.
        Refusal: 413, too large.
    """
    body = RequestBody(request, idle_s=settings.deadlines.body_idle_s)
    try:
        raw = await body.document(settings.limits.max_document_bytes)
    finally:
        call.bytes_in = body.received_bytes
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BodyError("The body is not a JSON document, or a member stands twice in it.") from error
    return _members(value, known, "The body")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _members(value: object, known: frozenset[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= known:
        raise BodyError(f"{what} is a JSON object with the members {', '.join(sorted(known))}, and no others.")
    return value


def _text(members: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
    value = members.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        raise BodyError(f"The member {name} is a text that is not empty.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BodyError(f"The member {name} holds half of a surrogate pair.") from None
    return value


# Signing


@dataclass(frozen=True, slots=True)
class SignOrder:
    """What a client wants to be signed."""

    key: str
    properties: SignedURLProperties


def parse_sign(members: Mapping[str, Any]) -> SignOrder:
    """Raises:
    BodyError, InvalidArgumentError.
    """
    method = _text(members, "method") or Method.GET.value
    if method not in set(Method):
        raise InvalidArgumentError(f"method is one of {', '.join(Method)}.")
    return SignOrder(
        key=_text(members, "key", required=True) or "",
        properties=SignedURLProperties(
            scope=Method(method),
            expires_in=_lifetime(members.get("expiresIn")),
            content_md5=headers.parse_md5(_text(members, "contentMD5")),
            content_type=_text(members, "contentType"),
            max_size_bytes=_count(members, "maxBytes"),
            headers=_texts(members, "headers"),
            response_overrides=_overrides(members),
        ),
    )


def _texts(members: Mapping[str, Any], name: str) -> dict[str, str]:
    """An object of texts, its names in lower case; what may stand in it is the store's to say."""
    value = members.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise BodyError(f"The member {name} is an object of texts.")
    texts = {key.lower(): text for key, text in value.items()}
    if len(texts) != len(value):
        raise BodyError(f"A name stands twice in the member {name}.")
    return texts


def _overrides(members: Mapping[str, Any]) -> dict[ResponseOverride, str]:
    texts = _texts(members, "responseOverrides")
    if not texts.keys() <= set(ResponseOverride):
        raise InvalidArgumentError(f"responseOverrides has the members {', '.join(ResponseOverride)}, and no others.")
    return {ResponseOverride(name): text for name, text in texts.items()}


def _lifetime(value: object) -> timedelta | None:
    """Seconds, or a duration such as 15m."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            lifetime = parse_duration(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            lifetime = timedelta(seconds=value)
        else:
            raise ValueError
        if lifetime < timedelta(seconds=1):
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidArgumentError("expiresIn is a duration such as 15m, or whole seconds, of at least 1 s.") from None
    return lifetime


def _count(members: Mapping[str, Any], name: str) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**15:
        raise InvalidArgumentError(f"{name} is a whole number, 0 or more.")
    return value


async def sign_order(
    request: web.BaseRequest, call: Call, settings: GatewaySettings, gate: Gate, identity: Identity, target: Target
) -> SignOrder:
    """What is to be signed, by somebody who may sign here and do what the signed method does. Nothing is looked up before both are granted.

    Raises:
        Refusal: one of the rights is missing.
        BodyError, InvalidArgumentError, LimitExceededError.
    """
    await gate.require(identity, target, NEEDED[Verb.SIGN])
    order = parse_sign(await read_document(request, call, settings, _SIGN_FIELDS))
    call.key = order.key
    await gate.require(identity, target, SIGNED_NEEDS[order.properties.scope])
    return order


async def sign(exchange: Exchange, order: SignOrder) -> web.StreamResponse:
    """A URL for one method on one key."""
    at = exchange.at
    async with backend_deadline(exchange.settings.deadlines.backend_total_s):
        signed = await at.store.create_signed_url(at.reference(order.key), order.properties, scope=at.scope)
    answer = answers.document(
        200,
        {
            "url": signed.url,
            "method": signed.method.value,
            "expiresAt": signed.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "requiredHeaders": dict(signed.required_headers),
        },
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


# Copying


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """What is to be copied onto which key here."""

    source: Target
    source_key: str
    source_if_match: str | None
    key: str


def parse_copy(members: Mapping[str, Any], here: Target) -> CopyOrder:
    """The source's members default to the destination's own: namespace, location and container.

    Raises:
        BodyError, Refusal.
    """
    source = _members(members.get("source"), _SOURCE_FIELDS, "The member source")
    destination = _members(members.get("destination"), frozenset({"key"}), "The member destination")
    if_match = _text(source, "ifMatch")
    if if_match is not None and (if_match.startswith("W/") or if_match == "*"):
        raise InvalidArgumentError("source.ifMatch is one strong etag.")
    return CopyOrder(
        source=_source(source, here),
        source_key=_text(source, "key", required=True) or "",
        source_if_match=if_match.strip('"') if if_match else None,
        key=_text(destination, "key", required=True) or "",
    )


def _source(members: Mapping[str, Any], here: Target) -> Target:
    names = {name: _text(members, name) for name in ("namespace", "container", "location", "clusterLocation")}
    for name in filter(None, names.values()):
        check_name(name)
    container = names["container"] or here.container
    namespace = names["namespace"] or here.namespace
    if names["clusterLocation"]:
        if names["location"] or names["namespace"]:
            raise InvalidArgumentError("source.clusterLocation stands without namespace and location.")
        return Target(Family.CLUSTER_LOCATION, container, None, names["clusterLocation"])
    if names["location"]:
        if namespace is None:
            raise InvalidArgumentError("source.location needs source.namespace here.")
        return Target(Family.LOCATION, container, namespace, names["location"])
    if names["namespace"]:
        return Target(Family.CONTAINER, container, namespace)
    return Target(here.family, container, here.namespace, here.location)


async def copy_order(
    request: web.BaseRequest, call: Call, settings: GatewaySettings, gate: Gate, identity: Identity, target: Target
) -> tuple[CopyOrder, WriteRights]:
    """What is to be copied, by somebody who may read the source and write here. Nothing is looked up before all of it is granted.

    Raises:
        Refusal: a right is missing.
        BodyError, InvalidArgumentError.
    """
    rights = await gate.write_rights(identity, target)
    order = parse_copy(await read_document(request, call, settings, frozenset({"source", "destination"})), target)
    call.key = order.key
    call.source = "/".join(filter(None, (order.source.namespace, order.source.location, order.source.container)))
    await gate.require(identity, order.source, (READ,))
    return order, rights


async def copy(exchange: Exchange, source: Resolved, order: CopyOrder, rights: WriteRights) -> web.StreamResponse:
    """Copy an object onto a key here, under the conditions of a PUT."""
    at = exchange.at
    asked = headers.write_conditions(exchange.request.headers)
    granted = decide_write(rights, asked, at.store.capabilities)
    options = CopyOptions(
        source_if_match=order.source_if_match, if_match=granted.if_match, if_none_match=granted.if_none_match
    )
    try:
        async with backend_deadline(exchange.settings.deadlines.copy_s):
            return _copied(await _copy(source, order.source_key, at, order.key, options))
    except PreconditionFailedError as error:
        if order.source_if_match is not None:
            raise  # it may be the source's
        raise explain(error, asked, granted) from error


async def _copy(source: Resolved, source_key: str, at: Resolved, key: str, options: CopyOptions) -> ObjectMetadata:
    """By the store itself, or - across locations - through this process."""
    one, other = source.reference(source_key), at.reference(key)
    if source.store is at.store:
        return await at.store.copy_raw(one, other, options, source_scope=source.scope, scope=at.scope)
    return await copy_between(source.store, one, at.store, other, options, source_scope=source.scope, scope=at.scope)


def _copied(written: ObjectMetadata) -> web.StreamResponse:
    answer = answers.document(200, {"etag": written.etag, "size": written.size_bytes})
    answer.headers.update(written_headers(written))
    return answer
