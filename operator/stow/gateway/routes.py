"""From the raw request target to a route. Pure.

The target is split on ``/`` as it came over the wire, then each part is decoded exactly once, strictly: a bad escape or bytes that are
not UTF-8 are refused, never repaired. Fixed parts are compared undecoded, so no spelling of a slash or letter reaches another route.
Everything behind ``/objects/`` is the key, further slashes and dots included. In a query ``+`` is a plus sign (RFC 3986; only HTML forms
mean a space by it), every parameter is known and stands once. Absolute-form, authority-form, asterisk-form and fragments are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from stow.errors import InvalidArgumentError, InvalidKeyError, StowError
from stow.gateway.problems import Code, Refusal

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
"""Of namespaces, custom resources and containers; which of them exist is not decided here."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Family(StrEnum):
    """What a path names a container by; also the metrics' label."""

    CONTAINER = "container"
    LOCATION = "location"
    CLUSTER_LOCATION = "cluster-location"


class Action(StrEnum):
    """What a path is for."""

    OBJECT = "object"
    OBJECTS = "objects"
    SIGN = "sign"
    COPY = "copy"
    SIGNED = "signed"
    SYSTEM = "system"


METHODS: Final[Mapping[Action, tuple[str, ...]]] = MappingProxyType(
    {
        Action.OBJECT: ("GET", "HEAD", "PUT", "DELETE"),
        Action.OBJECTS: ("GET",),
        Action.SIGN: ("POST",),
        Action.COPY: ("POST",),
        Action.SIGNED: ("GET", "HEAD", "PUT", "DELETE"),
        Action.SYSTEM: ("GET", "HEAD"),
    }
)
LIST_PARAMETERS: Final = frozenset({"prefix", "delimiter", "limit", "cursor"})
SYSTEM_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})
_SIGNED_PREFIX: Final = "/v1/signed/"


@dataclass(frozen=True, slots=True)
class Target:
    """Which container is meant. ``container`` is the StowContainer's name in the container family, else the container's own."""

    family: Family
    container: str
    namespace: str | None = None
    """None for cluster locations: there it is the caller's."""
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A whole request target, understood. ``target`` is None for signed and system routes, ``key`` outside of objects."""

    action: Action
    target: Target | None = None
    key: str | None = None
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    raw_path: str = ""
    raw_query: str = ""


def parse_route(method: str, raw_target: str) -> Route:
    """Raises:
    Refusal: no such route (404), no such method there (405, with Allow), a target that is not of origin form (400).
    InvalidKeyError: the key is empty or not strictly encoded.
    InvalidArgumentError: unknown, doubled or malformed query parameters.
    """
    if not raw_target.startswith("/"):
        raise Refusal(Code.INVALID_PATH, "The request target is not an absolute path; send the path alone.", close=True)
    if "#" in raw_target:
        raise Refusal(Code.INVALID_PATH, "The request target holds a '#'; write %23 in keys.")
    path, question, query = raw_target.partition("?")
    route = _route(path, query if question else None, method)
    _check_method(method, route.action)
    return route


def _route(path: str, query: str | None, method: str) -> Route:
    if path in SYSTEM_PATHS:
        return Route(Action.SYSTEM, raw_path=path)
    if path.startswith(_SIGNED_PREFIX):
        return Route(Action.SIGNED, raw_path=path, raw_query=query or "")
    target, rest = _container(path)
    match rest.split("/", 1):
        case ["objects"]:
            return Route(Action.OBJECTS, target, query=_query(query, LIST_PARAMETERS))
        case ["objects", raw_key]:
            _check_method(method, Action.OBJECT)
            if query is not None:
                raise InvalidArgumentError("An object's path takes no query; write %3F for a '?' in the key.")
            return Route(Action.OBJECT, target, _key(raw_key))
        case ["object"]:
            _check_method(method, Action.OBJECT)
            values = _query(query, frozenset({"key"}))
            if "key" not in values:
                raise InvalidKeyError("The key is missing; write object?key=... .")
            return Route(Action.OBJECT, target, _nonempty(values["key"]))
        case [("sign" | "copy") as action]:
            _query(query, frozenset())
            return Route(Action(action), target)
        case _:
            raise _not_found()


def _container(path: str) -> tuple[Target, str]:
    """The container that a path begins with, and what follows it."""
    parts = path.split("/")
    match parts[1:]:
        case ["v1", "namespaces", namespace, "containers", container, _, *_]:
            target = Target(Family.CONTAINER, _name(container), _name(namespace))
            used = 6
        case ["v1", "namespaces", namespace, "locations", location, "containers", container, _, *_]:
            target = Target(Family.LOCATION, _name(container), _name(namespace), _name(location))
            used = 8
        case ["v1", "clusterlocations", location, "containers", container, _, *_]:
            target = Target(Family.CLUSTER_LOCATION, _name(container), None, _name(location))
            used = 6
        case _:
            raise _not_found()
    return target, "/".join(parts[used:])


def container_route(route: str) -> Target | None:
    """The container that the route of a signed URL names (``namespaces/a/containers/b``); None where it names none."""
    try:
        target, rest = _container(f"/v1/{route}/object")
    except Refusal:
        return None
    return target if rest == "object" else None


def _not_found() -> Refusal:
    return Refusal(Code.ROUTE_NOT_FOUND, "There is no such path; /openapi.json lists them.")


def _check_method(method: str, action: Action) -> None:
    allowed = METHODS[action]
    if method not in allowed:
        raise Refusal(
            Code.METHOD_NOT_ALLOWED,
            f"This path takes {', '.join(allowed)}.",
            headers={"Allow": ", ".join(allowed)},
            close=method == "CONNECT",
        )


def check_name(name: str) -> str:
    """Raises:
    Refusal: not the name of a namespace, location or container.
    """
    if not _NAME.fullmatch(name):
        raise _invalid_name()
    return name


def _name(raw: str) -> str:
    return check_name(decode_part(raw, _invalid_name()))


def _invalid_name() -> Refusal:
    return Refusal(
        Code.INVALID_PATH,
        "A namespace, location or container in the path is no name: lower-case letters, digits, hyphens and dots.",
    )


def _key(raw: str) -> str:
    return _nonempty(decode_part(raw, _invalid_key()))


def _invalid_key() -> InvalidKeyError:
    return InvalidKeyError(
        "The key is not percent-encoded UTF-8; encode it once, with two hexadecimal digits after each %."
    )


def _nonempty(key: str) -> str:
    if not key:
        raise InvalidKeyError("The key is empty; write it behind /objects/ or into ?key= .")
    return key


def decode_part(raw: str, refusal: StowError | Refusal) -> str:
    """Percent-decoding, once and strictly; raises ``refusal`` where it is none. Lone surrogates are aiohttp's spelling of stray bytes."""
    data = raw.encode("utf-8", "surrogateescape")
    if _BAD_ESCAPE.search(data):
        raise refusal
    try:
        return unquote_to_bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        raise refusal from None


def _query(raw: str | None, known: frozenset[str]) -> Mapping[str, str]:
    values: dict[str, str] = {}
    for pair in raw.split("&") if raw else ():
        name, separator, value = pair.partition("=")
        if not separator or name not in known:
            raise InvalidArgumentError(
                f"The query takes {', '.join(sorted(known)) or 'no parameter'}, each as name=value; encode & as %26."
            )
        if name in values:
            raise InvalidArgumentError(f"The query names {name} twice.")
        broken = (
            _invalid_key()
            if name == "key"
            else InvalidArgumentError(f"The query's {name} is not percent-encoded UTF-8.")
        )
        values[name] = decode_part(value, broken)
    return values
