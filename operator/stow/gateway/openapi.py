"""The object API, described: OpenAPI 3.1, written by hand; a test holds it against the routes."""

from __future__ import annotations

from typing import Any, Final

from stow import __version__

_PROBLEM: Final = {
    "description": "An RFC 9457 problem document with a stable code; HEAD has it in Stow-Error-Code.",
    "headers": {"Stow-Error-Code": {"schema": {"type": "string"}}},
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PATHS: Final = {
    "namespace": "Namespace of the StowContainer or StowLocation.",
    "name": "Name of the StowContainer.",
    "location": "Name of the location.",
    "container": "Name of the container at its backend.",
    "key": "The object's key, percent-encoded once; further slashes belong to it.",
    "route": "The container's route, as the signer wrote it.",
}


def _parameter(
    name: str, place: str, description: str, *, required: bool = False, kind: str = "string"
) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "description": description, "schema": {"type": kind}}


def _path(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [_parameter(name, "path", _PATHS[name], required=True) for name in names]


def _operation(summary: str, status: str, description: str, **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": {status: {"description": description}, "default": _PROBLEM}, **more}


_READ: Final = [
    _parameter("Range", "header", "One range of bytes; several or a malformed one are ignored."),
    _parameter("If-Match", "header", "Etags, or *."),
    _parameter("If-None-Match", "header", "Etags, or *: 304 where the object has one of them."),
    _parameter("If-Modified-Since", "header", "HTTP date."),
    _parameter("If-Range", "header", "Etag or HTTP date; the range is ignored where it does not match."),
    _parameter("Stow-Redirect", "header", "allow: a large object may be answered by 307 to a signed URL."),
]
_WRITE: Final = [
    _parameter("If-Match", "header", "One strong etag, or *: replace only."),
    _parameter("If-None-Match", "header", "* : create only."),
    _parameter("Content-MD5", "header", "Base64 of the body's MD5; another body is refused."),
    _parameter("Expect", "header", "100-continue is answered after authorization and preconditions."),
    _parameter(
        "Stow-Meta-*", "header", "User metadata: names of [a-z0-9-], values percent-encoded UTF-8, 2 KiB in all."
    ),
]
_BYTES: Final[dict[str, Any]] = {"content": {"application/octet-stream": {}}}


def _object() -> dict[str, Any]:
    return {
        "get": _operation("Read an object or a range of it.", "200", "The bytes; 206 for a range.", parameters=_READ),
        "head": _operation("The headers of GET.", "200", "No body.", parameters=_READ[1:4]),
        "put": _operation(
            "Store an object, all of it or nothing.",
            "200",
            "Stored; ETag names the version. 201 with If-None-Match.",
            parameters=_WRITE,
            requestBody=_BYTES,
        ),
        "delete": _operation("Delete; absent is success.", "204", "Gone.", parameters=_WRITE[:1]),
    }


def _json(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _family(base: str, names: tuple[str, ...]) -> dict[str, Any]:
    shared = _path(names)
    key = _parameter("key", "query", "The key, percent-encoded once; + is a plus sign.", required=True)
    query = [
        _parameter("prefix", "query", "Only keys that begin with it."),
        _parameter("delimiter", "query", "One character; what lies between prefix and it is folded into prefixes."),
        _parameter("limit", "query", "Entries of a page, 1 to 1000.", kind="integer"),
        _parameter("cursor", "query", "Of the page before."),
    ]
    return {
        f"{base}/objects/{{key}}": {"parameters": [*shared, *_path(("key",))], **_object()},
        f"{base}/object": {"parameters": [*shared, key], **_object()},
        f"{base}/objects": {
            "parameters": shared,
            "get": _operation(
                "One page of a listing.",
                "200",
                "objects, prefixes and cursor; cursor is null at the end.",
                parameters=query,
            ),
        },
        f"{base}/sign": {
            "parameters": shared,
            "post": _operation(
                "A URL for one method on one key.",
                "200",
                "url, method, expiresAt, requiredHeaders.",
                requestBody=_json("Sign"),
            ),
        },
        f"{base}/copy": {
            "parameters": shared,
            "post": _operation(
                "Copy an object here.",
                "200",
                "etag and size of the copy.",
                parameters=_WRITE[:2],
                requestBody=_json("Copy"),
            ),
        },
    }


def _text(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


_SCHEMAS: Final = {
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": _text("urn:stow:problem:<code>"),
            "title": _text("The status in words."),
            "status": {"type": "integer"},
            "code": _text("Stable; what programs match."),
            "detail": _text("What is wrong and what to do."),
            "container": _text("Where it is known."),
            "key": _text("Where it is known."),
        },
    },
    "Sign": {
        "type": "object",
        "additionalProperties": False,
        "required": ["key"],
        "properties": {
            "key": _text("The object's key."),
            "method": {"type": "string", "enum": ["GET", "HEAD", "PUT", "DELETE"], "default": "GET"},
            "expiresIn": {
                "type": ["string", "integer"],
                "description": "15m, or seconds; the location's default and maximum hold.",
            },
            "contentMD5": _text("PUT: the only body that is taken."),
            "contentType": _text("PUT: the only Content-Type that is taken."),
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Further headers that the client has to send exactly so, where the backend can bind them.",
            },
            "responseOverrides": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "GET and HEAD: what the answer says in cache-control, content-disposition, content-encoding, "
                "content-language and content-type.",
            },
            "maxBytes": {"type": "integer", "description": "PUT to local locations: the largest body that is taken."},
        },
    },
    "Copy": {
        "type": "object",
        "additionalProperties": False,
        "required": ["source", "destination"],
        "properties": {
            "source": {
                "type": "object",
                "additionalProperties": False,
                "required": ["key"],
                "properties": {
                    "namespace": _text("Default: the destination's."),
                    "container": _text("Default: the destination's."),
                    "location": _text("A StowLocation, to copy from a base or dynamic container."),
                    "clusterLocation": _text("A ClusterStowLocation, likewise."),
                    "key": _text("The object to copy."),
                    "ifMatch": _text("Only this version of it."),
                },
            },
            "destination": {
                "type": "object",
                "additionalProperties": False,
                "required": ["key"],
                "properties": {"key": _text("The key of the copy.")},
            },
        },
    },
}


def _system(summary: str) -> dict[str, Any]:
    return {"get": {**_operation(summary, "200", "As it says."), "security": []}}


def _signed() -> dict[str, Any]:
    names = {
        "key": True, "method": True, "exp": True, "kid": True, "sig": True, "max": False, "md5": False, "ctype": False
    }  # fmt: skip
    query = [_parameter(name, "query", "As signed.", required=required) for name, required in names.items()]
    return {"parameters": [*_path(("route",)), *query], "security": [], **_object()}


DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "stow object API",
        "version": __version__,
        "description": "Objects of StowContainers and locations over HTTP, with a ServiceAccount token.",
    },
    "security": [{"token": []}],
    "paths": {
        **_family("/v1/namespaces/{namespace}/containers/{name}", ("namespace", "name")),
        **_family(
            "/v1/namespaces/{namespace}/locations/{location}/containers/{container}",
            ("namespace", "location", "container"),
        ),
        **_family("/v1/clusterlocations/{location}/containers/{container}", ("location", "container")),
        "/v1/signed/{route}/object": _signed(),
        "/healthz": _system("The process lives."),
        "/readyz": _system("It may be sent requests; 503 lists what is missing."),
        "/metrics": _system("Prometheus metrics."),
        "/openapi.json": _system("This document."),
    },
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A ServiceAccount token of the audience stowstore.io.",
            }
        },
    },
}
