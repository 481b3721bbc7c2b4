"""A location and a container of one kind, ready to be asked; and what every kind answers, whatever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from e2e.cluster import ALL_OBJECTS, DEADLINE_S, MAY_SIGN, RETRY_S, rule
from e2e.installation import Installation
from e2e.places import Place
from e2e.web import Reply, Web, container_path
from stow.reconcile.objects import ObjectRef

TEXT = b"Hello world"
OBJECT = "/objects/2026/a%20b"
ATTRIBUTES = {
    "Content-Type": "text/csv",
    "Content-Language": "de",
    "Content-Disposition": "inline",
    "Cache-Control": "max-age=5",
    "Stow-Meta-Author": "app",
}
MAX_WRITE_BYTES = 1000
UNDECLARED = (501, "unsupported")
OF_LOCATIONS = rule("stowlocations/objects", "get", "create", "update")


@dataclass(frozen=True, slots=True)
class Scene:
    """A location and a container of one kind, both Ready, and the token of a workload that may do everything."""

    installation: Installation
    place: Place
    team: str
    location: ObjectRef
    container: ObjectRef
    token: str
    capabilities: Mapping[str, str]

    @property
    def web(self) -> Web:
        return self.installation.web

    async def ask(self, method: str, rest: str, body: Any = None, /, **headers: str) -> Reply:
        """``headers``: their names with ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        target = f"{container_path(self.team, 'reports')}{rest}"
        return await self.web.ask(method, target, token=self.token, headers=sent, body=body)

    async def post(self, rest: str, document: Mapping[str, Any]) -> Reply:
        return await self.web.post(f"{container_path(self.team, 'reports')}{rest}", document, token=self.token)


async def staged(installation: Installation, where: Place, **more: Any) -> Scene:
    cluster = installation.cluster
    team = await cluster.namespace(where.kind)
    if where.secret is not None:
        await cluster.secret(team, "keys", where.secret)
    spec = where.location(
        baseContainer={"name": f"{team}-base", "createIfNotFound": True},
        signedURL={"methods": ["GET", "PUT", "HEAD", "DELETE"]},
        limits={"maxWriteBytes": MAX_WRITE_BYTES},
        **more,
    )
    location = await cluster.create("StowLocation", team, "main", spec)
    found = await cluster.ready(location)
    container = await installation.container(team, "reports")
    await cluster.ready(container)
    token = await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN, OF_LOCATIONS)
    scene = Scene(installation, where, team, location, container, token, found["status"]["capabilities"])
    await served(scene, "reports")
    return scene


async def served(scene: Scene, name: str) -> None:
    await until_served(scene.web, f"{container_path(scene.team, name)}/objects", scene.token)


async def until_served(web: Web, target: str, token: str) -> None:
    """The gateway knows of the container what this test was told by the API server: it has a watch of its own."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if (await web.ask("GET", target, token=token)).status == 200:
                return
            await asyncio.sleep(RETRY_S)


# What all kinds answer


READ_HEADERS = {
    **{name.lower(): value for name, value in ATTRIBUTES.items()},
    "cache-control": "private, max-age=5",
    "stow-cache-control": "max-age=5",
    "accept-ranges": "bytes",
    "content-length": str(len(TEXT)),
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "server": "stow",
}
OF_THE_OBJECT = {"etag", "last-modified"}
OF_THE_REQUEST = {"date", "stow-request-id", "connection", "keep-alive"}


def own_headers(reply: Reply) -> dict[str, str]:
    """All but times and names of versions, which are there, and the checksums, which are given where they are known."""
    found = {name.lower(): value for name, value in reply.headers.items()}
    assert found.keys() >= OF_THE_OBJECT
    left_out = OF_THE_OBJECT | OF_THE_REQUEST
    return {n: value for n, value in found.items() if n not in left_out and not n.startswith("stow-checksum-")}


CAPABILITIES = {
    *("dialect", "createOnce", "writeIfMatch", "deleteIfMatch", "contentMd5", "integrity", "serverSideCopy", "markers"),
    *("markerWithCreate", "tags", "versioning", "expiryRules", "signMethods", "signBinds", "maxSingleWriteBytes"),
    *("maxObjectBytes", "maxMetadataBytes", "metadataOverheadBytes", "maxSignedExpiryS", "maxKeyBytes"),
    *("maxKeySegmentBytes", "refusedKeys"),
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """A request that is refused, and how."""

    method: str
    rest: str
    status: int
    code: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


WRONG = {
    "absent": Wrong("GET", "/objects/none", 404, "object_not_found"),
    "absent, by HEAD": Wrong("HEAD", "/objects/none", 404, "object_not_found"),
    "no such version": Wrong("GET", "/objects/wrong", 412, "precondition_failed", headers={"If_Match": '"other"'}),
    "behind the end": Wrong("GET", "/objects/wrong", 416, "range_not_satisfiable", headers={"Range": "bytes=99-"}),
    "another body": Wrong(
        "PUT", "/objects/wrong", 400, "checksum_mismatch", b"x", {"Content_MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    ),
    "too large": Wrong("PUT", "/objects/wrong", 413, "limit_exceeded", b"x" * (MAX_WRITE_BYTES + 1)),
    "NUL": Wrong("PUT", "/objects/%00", 400, "invalid_key", b"x"),
    "bad escape": Wrong("PUT", "/objects/%zz", 400, "invalid_key", b"x"),
    "long key": Wrong("PUT", f"/objects/{'k' * 1025}", 400, "invalid_key", b"x"),
    "much metadata": Wrong("PUT", "/objects/wrong", 400, "invalid_metadata", b"x", {"Stow_Meta_A": "v" * 2100}),
    "foreign cursor": Wrong("GET", "/objects?cursor=abc", 400, "invalid_cursor"),
    "large page": Wrong("GET", "/objects?limit=1001", 400, "invalid_argument"),
    "both conditions": Wrong(
        "PUT", "/objects/wrong", 400, "invalid_argument", b"x", {"If_Match": '"a"', "If_None_Match": "*"}
    ),
}
