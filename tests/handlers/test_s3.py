"""The same on a real S3 server, where credentials stand in a Secret and the owner's mark is written after the create."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from operatorworld import Cluster, condition, container, message, running_operator
from servers.minio import MinioServer
from stow.dev.controlplane import ControlPlane
from stow.drivers.s3.config import S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.kube.rest import object_path
from stow.reconcile.objects import ObjectRef
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.egress import EgressPolicy
from stow.storage.model import Marker, WriteOptions

MIB = 1024 * 1024


@pytest.fixture
async def s3(minio: MinioServer) -> AsyncIterator[S3Driver]:
    """The backend, past the operator."""
    config = S3Config(
        credentials=StaticCredentials(minio.access_key, minio.secret_key),
        endpoint=minio.endpoint,
        region=minio.region,
        egress=EgressPolicy(denied=()),
    )
    driver = S3Driver(config, clock=utc_now, budget=ByteBudget(64 * MIB))
    await driver.probe(None)
    yield driver
    await driver.aclose()


async def _keys(cluster: Cluster, minio: MinioServer, secret_key: str | None = None) -> ObjectRef:
    data = {"AWS_ACCESS_KEY_ID": minio.access_key, "AWS_SECRET_ACCESS_KEY": secret_key or minio.secret_key}
    return await cluster.secret("keys", data)


def _spec(minio: MinioServer, **more: Any) -> dict[str, Any]:
    s3 = {"endpoint": minio.endpoint, "region": minio.region}
    return {"s3": s3, "credentials": {"secretRef": {"name": "keys"}}, "probeInterval": "1s", **more}


async def _ready(
    cluster: Cluster, minio: MinioServer, bucket: str, **spec: Any
) -> tuple[ObjectRef, ObjectRef, ObjectRef]:
    keys = await _keys(cluster, minio)
    place = await cluster.create("StowLocation", "remote", _spec(minio))
    wanted = {"containerName": bucket, "deletionPolicy": "DeleteIfEmpty", **spec}
    ref = await cluster.create("StowContainer", "box", container("remote", **wanted))
    await cluster.ready(ref)
    return keys, place, ref


async def test_a_bucket_is_created_marked_and_deleted(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    s3: S3Driver,
    unique_name: Callable[[str], str],
) -> None:
    bucket = unique_name("bucket")
    async with running_operator(control_plane, local_root):
        _, _, ref = await _ready(cluster, minio, bucket)
        raw = await cluster.get(ref)
        marker = await s3.read_marker(bucket)
        assert marker is not None
        assert raw is not None
        assert (marker.uid, marker.namespace, marker.name) == (raw["metadata"]["uid"], cluster.namespace, "box")
        assert len(cluster.writes(ref)) <= 3, cluster.writes(ref)
        await cluster.delete(ref)
        await cluster.gone(ref)
        assert not await s3.container_exists(bucket)


async def test_a_foreign_bucket_is_refused_and_a_free_one_loaded(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    s3: S3Driver,
    unique_name: Callable[[str], str],
) -> None:
    foreign, free = unique_name("foreign"), unique_name("free")
    await s3.create_container(foreign, None)
    await s3.write_marker(foreign, Marker("another-cluster", "canary-namespace", "canary-name", "uid", "nonce"))
    await s3.create_container(free, None)
    async with running_operator(control_plane, local_root):
        await _keys(cluster, minio)
        await cluster.create("StowLocation", "remote", _spec(minio))
        create = await cluster.create("StowContainer", "create", container("remote", containerName=foreign))
        load = await cluster.create(
            "StowContainer", "load", container("remote", containerName=foreign, provision="Load")
        )
        good = await cluster.create("StowContainer", "good", container("remote", containerName=free, provision="Load"))
        assert "canary" not in str((await cluster.reason(create, "AlreadyExists"))["status"])
        assert "canary" not in str((await cluster.reason(load, "Conflict"))["status"])
        assert (await cluster.ready(good))["status"]["provisioned"] == "Loaded"
        assert await s3.read_marker(free) is None


async def test_with_the_secret_gone_first_the_deletion_still_ends(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    s3: S3Driver,
    unique_name: Callable[[str], str],
) -> None:
    bucket = unique_name("bucket")
    async with running_operator(control_plane, local_root):
        keys, place, ref = await _ready(cluster, minio, bucket)
        await cluster.delete(keys)
        found = await cluster.reason(place, "CredentialsMissing")
        assert "keys" in message(found)
        assert condition(await cluster.get(ref), "Ready") == ("True", "Provisioned")
        await cluster.delete(ref)
        await cluster.gone(ref)
        assert not await s3.container_exists(bucket)


async def test_with_secret_and_memory_gone_it_blocks_until_the_secret_is_back(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    s3: S3Driver,
    unique_name: Callable[[str], str],
) -> None:
    bucket = unique_name("bucket")
    async with running_operator(control_plane, local_root):
        keys, _, ref = await _ready(cluster, minio, bucket)
    await cluster.delete(keys)
    await cluster.delete(ref)
    async with running_operator(control_plane, local_root):
        await cluster.reason(ref, "CredentialsMissing", "DeletionBlocked")
        assert await s3.container_exists(bucket)
        await _keys(cluster, minio)
        await cluster.gone(ref)
        assert not await s3.container_exists(bucket)


async def test_a_namespace_that_goes_takes_its_empty_bucket_along_although_its_secret_goes_first(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    s3: S3Driver,
    unique_name: Callable[[str], str],
) -> None:
    bucket = unique_name("bucket")
    async with running_operator(control_plane, local_root):
        await _ready(cluster, minio, bucket)
        await cluster.request("DELETE", object_path("Namespace", None, cluster.namespace))
        await cluster.gone(ObjectRef("Namespace", None, cluster.namespace))
        assert not await s3.container_exists(bucket)


async def test_wrong_keys_are_told_and_corrected_ones_are_used(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, minio: MinioServer
) -> None:
    async with running_operator(control_plane, local_root):
        keys = await _keys(cluster, minio, "canary-wrong-secret-key")
        place = await cluster.create("StowLocation", "remote", _spec(minio))
        found = await cluster.until(
            place, lambda raw: (condition(raw, "CredentialsValid") or ("",))[0] == "False", "refused"
        )
        assert "canary" not in str(found["status"])
        await cluster.delete(keys)
        await _keys(cluster, minio)
        await cluster.location_ready(place)


async def test_a_bucket_that_vanishes_is_told_and_not_made_anew(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    s3: S3Driver,
    unique_name: Callable[[str], str],
) -> None:
    bucket = unique_name("bucket")
    async with running_operator(control_plane, local_root):
        _, _, ref = await _ready(cluster, minio, bucket)
        await s3.delete_container(bucket)
        found = await cluster.reason(ref, "Vanished")
        assert condition(found, "Stalled") == ("True", "Vanished")
        assert not await s3.container_exists(bucket)


async def test_a_full_bucket_is_counted_and_kept(
    cluster: Cluster,
    control_plane: ControlPlane,
    local_root: Path,
    minio: MinioServer,
    s3: S3Driver,
    unique_name: Callable[[str], str],
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    bucket = unique_name("bucket")
    async with running_operator(control_plane, local_root):
        _, _, ref = await _ready(cluster, minio, bucket)
        await s3.write(bucket, "key", body(), size_bytes=1, options=WriteOptions())
        await cluster.delete(ref)
        found = await cluster.reason(ref, "NotEmpty", "DeletionBlocked")
        assert found["status"]["deletion"]["objects"] == 1
        await s3.delete(bucket, "key", if_match=None)
        await cluster.gone(ref)
