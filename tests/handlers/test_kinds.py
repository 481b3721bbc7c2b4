"""Every other kind of backend on its server: from a Secret and two custom resources to a container, and back.

Azurite and Swift check credentials; fake-gcs-server checks none, so that the Google location here is anonymous, and keeps no labels of a
bucket, so that nothing there can be known for ours and deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from operatorworld import Cluster, condition, container, message, running_operator
from servers.azurite import AzuriteServer
from servers.fake_gcs import FakeGcsServer
from servers.minio import MinioServer
from servers.swift import SwiftServer
from stow.dev.controlplane import ControlPlane
from stow.drivers.s3.config import S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.kube.rest import collection_path
from stow.storage.clock import utc_now
from stow.storage.egress import EgressPolicy
from stow.storage.model import ContainerSettings


@dataclass(frozen=True, slots=True)
class Kind:
    """A location of this kind on its server. Without `data` it is anonymous."""

    member: str
    spec: dict[str, Any]
    data: dict[str, str] | None
    scheme: str
    keeps_marks: bool = True

    def location(self, **more: Any) -> dict[str, Any]:
        credentials: dict[str, Any] = {"anonymous": {}} if self.data is None else {"secretRef": {"name": "keys"}}
        return {self.member: self.spec, "credentials": credentials, "probeInterval": "1s", **more}


@pytest.fixture(params=["google", "azure", "swift"])
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param == "google":
        gcs: FakeGcsServer = request.getfixturevalue("fake_gcs")
        return Kind("google", {"endpoint": gcs.endpoint, "project": gcs.project}, None, "gs", keeps_marks=False)
    if request.param == "azure":
        azurite: AzuriteServer = request.getfixturevalue("azurite")
        spec = {"endpoint": azurite.endpoint, "account": azurite.account}
        return Kind("azure", spec, {"AZURE_STORAGE_KEY": azurite.key}, "abfs")
    swift: SwiftServer = request.getfixturevalue("swift_server")
    return Kind("swift", {"authURL": swift.auth_url}, {"ST_USER": swift.user, "ST_KEY": swift.key}, "sw")


async def test_a_container_is_created_and_deleted_on_every_kind(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, kind: Kind, unique_name: Callable[[str], str]
) -> None:
    base, name = unique_name("base"), unique_name("box")
    if kind.data is not None:
        await cluster.secret("keys", kind.data)
    async with running_operator(control_plane, local_root):
        spec = kind.location(baseContainer={"name": base, "createIfNotFound": True})
        place = await cluster.create("StowLocation", "remote", spec)
        status = (await cluster.location_ready(place))["status"]
        assert status["baseContainerFQN"] == f"{kind.scheme}://{base}"
        assert status["backendIdentity"].startswith(f"{kind.scheme}://")
        assert status["capabilities"]["dialect"]
        policy = "DeleteIfEmpty" if kind.keeps_marks else "Retain"
        wanted = container("remote", containerName=name, deletionPolicy=policy)
        ref = await cluster.create("StowContainer", "box", wanted)
        found = (await cluster.ready(ref))["status"]
        assert (found["fqn"], found["provisioned"]) == (f"{kind.scheme}://{name}", "Created")
        await cluster.delete(ref)
        await cluster.gone(ref)


WRONG = {
    "azure": ({"AZURE_STORAGE_KEY": "cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQtcGxhbnRlZC0="}, "CredentialsInvalid"),
    "swift": ({"ST_USER": "test:tester", "ST_KEY": "planted"}, "CredentialsInvalid"),
}


@pytest.mark.parametrize("kind", sorted(WRONG), indirect=True)
async def test_wrong_credentials_say_so_and_right_ones_are_in_use_without_a_restart(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, kind: Kind, unique_name: Callable[[str], str]
) -> None:
    """Azurite calls a wrong signature "not allowed", so only a base container shows there that the key is wrong."""
    assert kind.data is not None
    data, reason = WRONG[kind.member]
    keys = await cluster.secret("keys", data)
    async with running_operator(control_plane, local_root):
        base = {"name": unique_name("base"), "createIfNotFound": True}
        place = await cluster.create("StowLocation", "remote", kind.location(baseContainer=base))
        found = await cluster.until(
            place, lambda raw: (condition(raw, "CredentialsValid") or ("",))[0] == "False", reason
        )
        assert condition(found, "CredentialsValid") in {("False", reason), ("False", "Denied")}
        assert not [value for value in data.values() if value in message(found)]
        await cluster.patch(keys, {"stringData": kind.data})
        await cluster.location_ready(place)


async def test_a_private_ca_is_trusted_once_its_bundle_is_there(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, azurite_tls: AzuriteServer
) -> None:
    assert azurite_tls.ca_path is not None
    await cluster.secret("keys", {"AZURE_STORAGE_KEY": azurite_tls.key})
    spec = {
        "azure": {"endpoint": azurite_tls.endpoint, "account": azurite_tls.account},
        "credentials": {"secretRef": {"name": "keys"}},
        "probeInterval": "1s",
    }
    async with running_operator(control_plane, local_root):
        place = await cluster.create("StowLocation", "private", spec)
        await cluster.reason(place, "Unreachable")
        await cluster.patch(place, {"spec": {"caBundle": {"configMapRef": {"name": "ca", "key": "root.pem"}}}})
        await cluster.reason(place, "CABundleMissing")
        body = {"metadata": {"name": "ca"}, "data": {"root.pem": azurite_tls.ca_path.read_text(encoding="ascii")}}
        await cluster.request("POST", collection_path("ConfigMap", cluster.namespace), body=body)
        await cluster.location_ready(place)


async def test_a_bucket_is_set_as_its_spec_says_and_set_again_after_somebody_changed_it(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    unique_name: Callable[[str], str],
) -> None:
    data = {"AWS_ACCESS_KEY_ID": minio.access_key, "AWS_SECRET_ACCESS_KEY": minio.secret_key}
    await cluster.secret("keys", data)
    spec = {"s3": {"endpoint": minio.endpoint, "region": minio.region}, "credentials": {"secretRef": {"name": "keys"}}}
    config = S3Config(
        credentials=StaticCredentials(minio.access_key, minio.secret_key),
        endpoint=minio.endpoint,
        region=minio.region,
        egress=EgressPolicy(denied=()),
    )
    name = unique_name("box")
    wanted = ContainerSettings(tags={"team": "a"}, versioning=True, expire_after_days=30)
    async with running_operator(control_plane, local_root), closing(S3Driver(config, clock=utc_now)) as past:
        await past.probe(None)
        await cluster.create("StowLocation", "remote", {**spec, "probeInterval": "1s"})
        asked = {"tags": {"team": "a"}, "versioning": True, "expireAfterDays": 30, "driftPolicy": "Report"}
        ref = await cluster.create("StowContainer", "box", container("remote", containerName=name, **asked))
        await cluster.until(ref, lambda raw: "settings" in ((raw or {}).get("status") or {}), "set")
        assert await past.container_settings(name) == wanted
        await past.configure_container(name, ContainerSettings(tags={"by": "hand"}))
        await cluster.reason(ref, "SettingsDrifted", "Drifted")
        assert (await past.container_settings(name)).tags == {"by": "hand"}
        await cluster.patch(ref, {"spec": {"driftPolicy": "Enforce"}})
        await cluster.until(ref, lambda raw: condition(raw, "Drifted") is None, "without drift")
        assert await past.container_settings(name) == wanted
        assert await past.read_marker(name) is not None


@asynccontextmanager
async def closing(driver: S3Driver) -> AsyncIterator[S3Driver]:
    try:
        yield driver
    finally:
        await driver.aclose()
