"""Deletions on the real API server with its controller manager: every order in which things go away ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from operatorworld import Cluster, condition, container, local_location, message, running_operator
from stow.api.meta import ABANDON_ANNOTATION, FINALIZER
from stow.dev.controlplane import ControlPlane
from stow.drivers.local.driver import LocalDriver
from stow.kube.rest import object_path
from stow.reconcile.objects import ObjectRef
from stow.storage.clock import utc_now
from stow.storage.model import WriteOptions

ABANDON = {"metadata": {"annotations": {ABANDON_ANNOTATION: "true"}}}
SHORT_GRACE = timedelta(seconds=4)


class Disk:
    """The backend, past the operator."""

    def __init__(self, local_root: Path, namespace: str, path: str = "data") -> None:
        self._driver = LocalDriver(root=local_root / namespace / path, base=local_root, clock=utc_now)

    async def has(self, name: str) -> bool:
        return await self._driver.container_exists(name)

    async def fill(self, name: str) -> None:
        async def body() -> object:
            yield b"x"

        await self._driver.write(name, "key", body(), size_bytes=1, options=WriteOptions())  # type: ignore[arg-type]  # bytes

    async def empty(self, name: str) -> None:
        await self._driver.delete(name, "key", if_match=None)

    async def aclose(self) -> None:
        await self._driver.aclose()


@pytest.fixture
async def disk(local_root: Path, cluster: Cluster) -> object:
    made = Disk(local_root, cluster.namespace)
    yield made
    await made.aclose()


async def _ready(cluster: Cluster, policy: str = "DeleteIfEmpty") -> tuple[ObjectRef, ObjectRef]:
    place = await cluster.create("StowLocation", "disk", local_location())
    ref = await cluster.create("StowContainer", "box", container("disk", deletionPolicy=policy))
    await cluster.ready(ref)
    return place, ref


async def test_retain_keeps_the_container_and_the_same_name_gets_it_back(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    async with running_operator(control_plane, local_root):
        _, ref = await _ready(cluster, "Retain")
        await disk.fill("box")
        await cluster.delete(ref)
        await cluster.gone(ref)
        assert await disk.has("box")
        again = await cluster.create("StowContainer", "box", container("disk"))
        found = await cluster.ready(again)
        assert found["status"]["provisioned"] == "Created"


async def test_delete_if_empty_waits_for_emptiness(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    async with running_operator(control_plane, local_root):
        _, ref = await _ready(cluster)
        await disk.fill("box")
        await cluster.delete(ref)
        found = await cluster.reason(ref, "NotEmpty", "DeletionBlocked")
        assert found["status"]["deletion"]["objects"] == 1
        assert await disk.has("box")
        await disk.empty("box")
        await cluster.gone(ref)
        assert not await disk.has("box")


async def test_a_location_in_use_waits_for_its_last_container(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    async with running_operator(control_plane, local_root):
        place, ref = await _ready(cluster)
        await cluster.until(place, lambda found: FINALIZER in (found or {})["metadata"].get("finalizers", []), "held")
        await cluster.delete(place)
        found = await cluster.reason(place, "InUse")
        assert "box" in message(found)
        assert condition(found, "DeletionBlocked") == ("True", "InUse")
        assert condition(await cluster.get(ref), "Ready") == ("True", "Provisioned")
        await cluster.delete(ref)
        await cluster.gone(ref)
        await cluster.gone(place)
        assert not await disk.has("box")


async def test_abandon_ends_a_blocked_deletion(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    async with running_operator(control_plane, local_root):
        _, ref = await _ready(cluster)
        await disk.fill("box")
        await cluster.patch(ref, {"spec": {"suspend": True}})
        await cluster.delete(ref)
        await cluster.reason(ref, "NotEmpty", "DeletionBlocked")
        await cluster.patch(ref, ABANDON)
        await cluster.gone(ref)
        assert await disk.has("box")


async def test_everything_at_once_ends(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    async with running_operator(control_plane, local_root):
        place, ref = await _ready(cluster)
        await asyncio.gather(cluster.delete(place), cluster.delete(ref))
        await cluster.gone(ref)
        await cluster.gone(place)
        assert not await disk.has("box")


async def test_a_location_that_went_without_its_finalizer_blocks_nothing_that_its_client_can_still_do(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    async with running_operator(control_plane, local_root):
        place, ref = await _ready(cluster)
        await cluster.until(place, lambda found: FINALIZER in (found or {})["metadata"].get("finalizers", []), "held")
        await cluster.delete(place)
        await cluster.patch(place, ABANDON)
        await cluster.gone(place)
        await cluster.reason(ref, "LocationNotFound")
        await cluster.delete(ref)
        await cluster.gone(ref)
        assert not await disk.has("box")


async def test_a_location_that_went_while_the_operator_was_down_blocks_until_abandoned(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    async with running_operator(control_plane, local_root):
        place, ref = await _ready(cluster)
        await cluster.until(place, lambda found: FINALIZER in (found or {})["metadata"].get("finalizers", []), "held")
    await cluster.delete(place)
    await cluster.patch(place, {"metadata": {"finalizers": None}})
    await cluster.gone(place)
    await cluster.delete(ref)
    async with running_operator(control_plane, local_root):
        found = await cluster.reason(ref, "CredentialsMissing", "DeletionBlocked")
        assert "StowLocation disk" in message(found)
        await cluster.patch(ref, ABANDON)
        await cluster.gone(ref)
        assert await disk.has("box")


@pytest.mark.parametrize("policy", ["Retain", "DeleteIfEmpty"])
async def test_a_deletion_while_the_operator_is_down_ends_when_it_comes_up(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk, policy: str
) -> None:
    async with running_operator(control_plane, local_root):
        place, ref = await _ready(cluster, policy)
    await cluster.delete(ref)
    await cluster.delete(place)
    assert await cluster.get(ref) is not None
    async with running_operator(control_plane, local_root):
        await cluster.gone(ref)
        await cluster.gone(place)
        assert await disk.has("box") is (policy == "Retain")


async def test_a_namespace_with_empty_containers_goes_and_takes_them_along(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk
) -> None:
    namespace = ObjectRef("Namespace", None, cluster.namespace)
    async with running_operator(control_plane, local_root):
        await _ready(cluster)
        await cluster.request("DELETE", object_path("Namespace", None, cluster.namespace))
        await cluster.gone(namespace)
        assert not await disk.has("box")


async def test_a_namespace_with_a_full_container_goes_after_the_grace_and_keeps_it(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    namespace = ObjectRef("Namespace", None, cluster.namespace)
    caplog.set_level("INFO", logger="stow.audit")
    async with running_operator(control_plane, local_root, namespace_deletion_grace=SHORT_GRACE):
        _, ref = await _ready(cluster)
        await disk.fill("box")
        await cluster.request("DELETE", object_path("Namespace", None, cluster.namespace))
        await cluster.until(
            ref, lambda found: found is None or condition(found, "DeletionBlocked") == ("True", "NotEmpty"), "blocked"
        )
        await cluster.gone(namespace)
        assert await disk.has("box")
    assert any("fell back to Retain" in line for line in caplog.messages)


async def test_an_object_that_never_got_a_container_goes_at_once(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        ref = await cluster.create("StowContainer", "box", container("nowhere"))
        await cluster.reason(ref, "LocationNotFound")
        await cluster.delete(ref)
        assert await cluster.get(ref) is None
