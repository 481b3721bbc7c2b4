"""How things end, on MinIO and with the controller manager running: each way is open, and none takes more than it may.

The same branches on a local disk, in one process, are in tests/handlers.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from e2e.backends import put
from e2e.cluster import map_of
from e2e.installation import Installation
from operatorworld import condition, message
from stow.api.meta import FINALIZER
from stow.reconcile.objects import ObjectRef

OPERATOR_OPTIONS = ("--namespace-deletion-grace", "2s")
IF_EMPTY = {"deletionPolicy": "DeleteIfEmpty"}


async def provisioned(installation: Installation, **more: Any) -> tuple[str, ObjectRef, ObjectRef]:
    """Namespace, location on MinIO (its Secret is main-keys) and a container that is Ready."""
    cluster = installation.cluster
    team = await cluster.namespace()
    location = await installation.location("minio", team)
    container = await installation.container(team, "box", **more)
    await cluster.ready(container)
    await cluster.until(location, lambda found: map_of(found) != {} and FINALIZER in _finalizers(found), "in use")
    return team, location, container


def _finalizers(found: Any) -> list[str]:
    return list((found or {}).get("metadata", {}).get("finalizers", ()))


async def fill(installation: Installation, team: str, *keys: str) -> None:
    async with installation.backend("minio", team) as backend:
        for key in keys:
            await put(backend, f"{team}-box", key)


async def exists(installation: Installation, team: str) -> bool:
    async with installation.backend("minio", team) as backend:
        return await backend.container_exists(f"{team}-box")


async def test_a_full_container_says_how_full_and_goes_when_it_is_empty(installation: Installation) -> None:
    cluster = installation.cluster
    team, _, container = await provisioned(installation, **IF_EMPTY)
    await fill(installation, team, "a", "b", "c")
    await cluster.delete(container)
    found = await cluster.reason(container, "NotEmpty", "DeletionBlocked")
    assert found["status"]["deletion"]["objects"] == 3
    assert "3 objects" in message(found, "DeletionBlocked")
    async with installation.backend("minio", team) as backend:
        for key in ("a", "b", "c"):
            await backend.delete(f"{team}-box", key, if_match=None)
    await cluster.gone(container)
    assert not await exists(installation, team)


async def test_what_was_loaded_stays_whatever_the_policy_says(installation: Installation) -> None:
    cluster = installation.cluster
    team = await cluster.namespace()
    async with installation.backend("minio", team) as backend:
        await backend.create_container(f"{team}-box", None)
    await installation.location("minio", team)
    container = await installation.container(team, "box", provision="Load", **IF_EMPTY)
    assert (await cluster.ready(container))["status"]["provisioned"] == "Loaded"
    await cluster.delete(container)
    await cluster.gone(container)
    assert await exists(installation, team)


async def test_retained_and_applied_again_it_is_ours(installation: Installation) -> None:
    cluster = installation.cluster
    team, _, container = await provisioned(installation)
    await fill(installation, team, "kept")
    await cluster.delete(container)
    await cluster.gone(container)
    again = await installation.container(team, "box")
    found = await cluster.ready(again)
    assert found["status"]["provisioned"] == "Created"
    async with installation.backend("minio", team) as backend:
        marker = await backend.read_marker(f"{team}-box")
    assert marker is not None
    assert marker.uid == found["metadata"]["uid"]


async def test_with_its_secret_gone_first_the_last_good_client_ends_it(installation: Installation) -> None:
    cluster = installation.cluster
    team, location, container = await provisioned(installation, **IF_EMPTY)
    await cluster.delete(ObjectRef("Secret", team, "main-keys"))
    await cluster.reason(location, "CredentialsMissing", "CredentialsValid")
    await cluster.delete(container)
    await cluster.gone(container)
    assert not await exists(installation, team)


async def test_a_secret_that_went_while_the_operator_was_down_blocks_until_it_is_back(
    installation: Installation,
) -> None:
    cluster = installation.cluster
    team, location, container = await provisioned(installation, **IF_EMPTY)
    await installation.kill(installation.operator)
    await cluster.delete(ObjectRef("Secret", team, "main-keys"))
    await cluster.delete(container)
    await installation.start_operator()
    found = await cluster.reason(container, "CredentialsMissing", "DeletionBlocked")
    assert "main-keys" in message(found, "DeletionBlocked")
    assert await exists(installation, team)
    await cluster.secret(team, "main-keys", installation.minio_keys())
    await cluster.gone(container)
    assert not await exists(installation, team)
    await cluster.delete(location)
    await cluster.gone(location)


async def test_a_location_deleted_first_names_what_holds_it_and_follows(installation: Installation) -> None:
    cluster = installation.cluster
    team, location, container = await provisioned(installation, **IF_EMPTY)
    await cluster.delete(location)
    found = await cluster.reason(location, "InUse", "DeletionBlocked")
    assert "box" in message(found, "DeletionBlocked")
    assert condition(await cluster.get(container), "Ready") == ("True", "Provisioned")
    await cluster.delete(container)
    await cluster.gone(container)
    await cluster.gone(location)
    assert not await exists(installation, team)


@pytest.mark.parametrize("state", ["NotEmpty", "CredentialsMissing", "Unreachable", "LocationChanged"])
async def test_abandon_is_the_way_out_of(installation: Installation, state: str) -> None:
    """Also while suspended. The finalizer goes at once, and the container stays as it is."""
    cluster = installation.cluster
    team, location, running = await provisioned(installation, **IF_EMPTY)
    suspended = await installation.container(team, "suspended", **IF_EMPTY)
    await cluster.ready(suspended)
    await cluster.patch(suspended, {"spec": {"suspend": True}})
    await cluster.reason(suspended, "Suspended")
    await block(installation, state, team, location)
    for container in (running, suspended):
        await cluster.delete(container)
        await cluster.reason(container, state, "DeletionBlocked")
        await cluster.abandon(container)
        await cluster.gone(container)
    async with installation.backend("minio", team) as backend:
        for name in ("box", "suspended"):
            assert await backend.container_exists(f"{team}-{name}")


async def block(installation: Installation, state: str, team: str, location: ObjectRef) -> None:
    """Bring about what a deletion cannot get past."""
    cluster = installation.cluster
    if state == "NotEmpty":
        async with installation.backend("minio", team) as backend:
            for name in ("box", "suspended"):
                await put(backend, f"{team}-{name}", "a")
        return
    # What the last good client in memory could still do, it would: so the operator starts without one.
    await installation.kill(installation.operator)
    if state == "CredentialsMissing":
        await cluster.delete(ObjectRef("Secret", team, "main-keys"))
    elif state == "Unreachable":
        await cluster.patch(location, {"spec": {"s3": {"endpoint": "http://127.0.0.1:9"}}})
    else:
        other = installation.minio.endpoint.replace("127.0.0.1", "localhost")
        await cluster.patch(location, {"spec": {"s3": {"endpoint": other}}})
    await installation.start_operator()


async def test_everything_at_once_ends(installation: Installation) -> None:
    cluster = installation.cluster
    team, location, container = await provisioned(installation, **IF_EMPTY)
    secret = ObjectRef("Secret", team, "main-keys")
    await asyncio.gather(*(cluster.delete(each) for each in (location, container, secret)))
    await cluster.gone(container)
    await cluster.gone(location)
    assert not await exists(installation, team)


async def test_a_namespace_takes_empty_containers_along_and_leaves_full_ones(installation: Installation) -> None:
    """DeleteIfEmpty falls back to Retain after the grace, which the audit line says; the namespace really goes."""
    cluster = installation.cluster
    team, location, full = await provisioned(installation, **IF_EMPTY)
    empty = await installation.container(team, "empty", **IF_EMPTY)
    await cluster.ready(empty)
    await fill(installation, team, "kept")
    await cluster.delete(ObjectRef("Namespace", None, team))
    await cluster.gone(empty)
    await cluster.gone(full)
    await cluster.gone(location)
    await cluster.gone(ObjectRef("Namespace", None, team))
    async with installation.backend("minio", team) as backend:
        assert await backend.container_exists(f"{team}-box")
        assert not await backend.container_exists(f"{team}-empty")
    lines = [line for line in installation.logs["operator"].splitlines() if f"{team}/box".encode() in line]
    assert any(b"retain" in line.lower() for line in lines), lines


async def test_nothing_is_made_in_a_namespace_that_ends(installation: Installation) -> None:
    """The operator was down while a StowContainer was applied and its namespace deleted: no bucket appears."""
    cluster = installation.cluster
    team, _, held = await provisioned(installation, **IF_EMPTY)
    await fill(installation, team, "holds the namespace")
    await installation.kill(installation.operator)
    late = await installation.container(team, "late", **IF_EMPTY)
    await cluster.patch(late, {"metadata": {"finalizers": ["tests.stowstore.io/hold"]}})
    await cluster.delete(ObjectRef("Namespace", None, team))
    await installation.start_operator()
    await cluster.gone(held)
    async with installation.backend("minio", team) as backend:
        assert not await backend.container_exists(f"{team}-late")
    await cluster.patch(late, {"metadata": {"finalizers": None}})
    await cluster.gone(ObjectRef("Namespace", None, team))
