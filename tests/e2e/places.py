"""One place a kind where objects may live, on its real server: the spec, the right Secret, a wrong one and a dead endpoint.

Google is anonymous: a Secret's tokens come from Google alone, and fake-gcs-server asks for none. So nothing is signed there, and no Secret
can be wrong; the server also keeps no labels, so that no container can be known for ours and deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from servers.azurite import AzuriteServer
from servers.fake_gcs import FakeGcsServer
from servers.minio import MinioServer
from servers.swift import SwiftServer
from stow.dev.processes import Process

KINDS = ("s3", "google", "azure", "swift", "oracle", "local")
REMOTE = tuple(kind for kind in KINDS if kind != "local")
DEAD = "http://127.0.0.1:9"
"""Nobody listens there: the discard service of old."""
TEMP_URL_KEY = "canary-temp-url-key-8d1f"
Fixture = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """``secret`` None: anonymous, or local. ``wrong``: over the Secret. ``dead``: over the union member."""

    kind: str
    scheme: str
    spec: Mapping[str, Any]
    secret: Mapping[str, str] | None = field(default=None, repr=False)
    wrong: Mapping[str, str] = field(default_factory=dict, repr=False)
    dead: Mapping[str, Any] = field(default_factory=dict)
    keeps_markers: bool = True
    """Whether its server gives back the marker that the driver writes, which is a shortfall of the server where it does not."""
    process: Process | None = field(default=None, repr=False)

    def location(self, secret: str = "keys", **more: Any) -> dict[str, Any]:
        """The spec of a location; ``secret`` is the Secret's name."""
        found: dict[str, Any] = {self.kind: dict(self.spec)}
        if self.kind != "local":
            found["credentials"] = {"anonymous": {}} if self.secret is None else {"secretRef": {"name": secret}}
        return {**found, **more}

    def dead_location(self, secret: str = "keys", **more: Any) -> dict[str, Any]:
        return self.location(secret, **{self.kind: {**self.spec, **self.dead}}, **more)


def place(kind: str, fixture: Fixture, *, folder: str = "kinds") -> Place:
    """``fixture`` gives the running servers by the name of their fixture, and starts one at its first use."""
    return _PLACES[kind](fixture, folder)


def _s3(fixture: Fixture, _: str) -> Place:
    server: MinioServer = fixture("minio")
    spec = {"endpoint": server.endpoint, "region": server.region, "addressingStyle": "Path"}
    wrong = {"AWS_SECRET_ACCESS_KEY": "canary-wrong-s3-77aa"}
    return Place("s3", "s3", spec, _aws(server), wrong, {"endpoint": DEAD}, process=server.process)


def _oracle(fixture: Fixture, _: str) -> Place:
    server: MinioServer = fixture("minio")
    spec = {"namespace": "mytenancy", "region": server.region, "endpoint": server.endpoint}
    wrong = {"AWS_SECRET_ACCESS_KEY": "canary-wrong-oracle-2c4e"}
    return Place("oracle", "os", spec, _aws(server), wrong, {"endpoint": DEAD}, process=server.process)


def _aws(server: MinioServer) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}


def _google(fixture: Fixture, _: str) -> Place:
    server: FakeGcsServer = fixture("fake_gcs")
    spec = {"endpoint": server.endpoint, "project": server.project}
    return Place("google", "gs", spec, dead={"endpoint": DEAD}, keeps_markers=False, process=server.process)


def _azure(fixture: Fixture, _: str) -> Place:
    server: AzuriteServer = fixture("azurite")
    spec = {"account": server.account, "endpoint": server.endpoint}
    wrong = {"AZURE_STORAGE_KEY": "Y2FuYXJ5LXdyb25nLWF6dXJlLWtleS1vZi0zMi1ieXQ="}
    dead = {"endpoint": f"{DEAD}/{server.account}"}
    return Place("azure", "abfs", spec, {"AZURE_STORAGE_KEY": server.key}, wrong, dead, process=server.process)


def _swift(fixture: Fixture, _: str) -> Place:
    server: SwiftServer = fixture("swift_server")
    secret = {"ST_USER": server.user, "ST_KEY": server.key, "SWIFT_TEMP_URL_KEY": TEMP_URL_KEY}
    wrong, dead = {"ST_KEY": "canary-wrong-swift-51d0"}, {"authURL": f"{DEAD}/auth/v1.0"}
    return Place("swift", "sw", {"authURL": server.auth_url}, secret, wrong, dead, process=server.process)


def _local(_: Fixture, folder: str) -> Place:
    return Place("local", "file", {"path": folder})


_PLACES: Mapping[str, Callable[[Fixture, str], Place]] = {
    "s3": _s3,
    "google": _google,
    "azure": _azure,
    "swift": _swift,
    "oracle": _oracle,
    "local": _local,
}
