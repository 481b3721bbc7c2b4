"""The main job on the real API server: from `kubectl apply` to Ready, what it costs, and what gets in its way."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from operatorworld import (
    DEADLINE_S,
    Cluster,
    condition,
    container,
    local_location,
    message,
    running_operator,
)
from stow.dev.controlplane import ControlPlane
from stow.kube.lease import LeaseName
from stow.kube.rest import object_path
from stow.reconcile.ports import DynamicLoad

BASE = {"baseContainer": {"name": "base", "createIfNotFound": True}}


def _map(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["name"], each["origin"]) for each in found["status"].get("containers", [])]


async def test_a_container_becomes_ready_in_at_most_three_writes(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        ref = await cluster.create("StowContainer", "reports", container("disk"))
        await cluster.create("StowLocation", "disk", local_location(**BASE))
        found = await cluster.ready(ref)
        assert found["status"]["fqn"] == "file://reports"
        assert found["status"]["provisioned"] == "Created"
        assert "intent" not in found["status"]
        assert len(cluster.writes(ref)) <= 3, cluster.writes(ref)
        assert condition(found, "Stalled") is None
        assert condition(found, "Reconciling") is None


async def test_the_map_holds_all_three_origins_and_loses_what_goes(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root) as operator:
        place = await cluster.create("StowLocation", "disk", local_location(**BASE))
        ref = await cluster.create("StowContainer", "reports", container("disk"))
        await cluster.ready(ref)
        operator.dynamic.loads[place] = [DynamicLoad("loaded", datetime.now(UTC))]
        wanted = [("base", "Base"), ("reports", "Declared"), ("loaded", "Dynamic")]
        await cluster.patch(place, {"spec": {"probeInterval": "1m"}})  # any change draws the map anew
        await cluster.until(place, lambda found: _map(found or {}) == wanted, "whole")
        await cluster.delete(ref)
        await cluster.gone(ref)
        left = [("base", "Base"), ("loaded", "Dynamic")]
        await cluster.until(place, lambda found: _map(found or {}) == left, "without it")


async def test_a_restart_writes_nothing(cluster: Cluster, control_plane: ControlPlane, local_root: Path) -> None:
    async with running_operator(control_plane, local_root):
        place = await cluster.create("StowLocation", "disk", local_location(**BASE))
        refs = [await cluster.create("StowContainer", f"box-{n}", container("disk")) for n in range(3)]
        for ref in refs:
            await cluster.ready(ref)
        await cluster.until(place, lambda found: len(_map(found or {})) == 4, "whole")
    before = {ref: cluster.writes(ref) for ref in (place, *refs)}
    async with running_operator(control_plane, local_root) as operator:
        await _settled(operator, wanted=4)
        assert {ref: cluster.writes(ref) for ref in (place, *refs)} == before


async def _settled(operator: Any, *, wanted: int) -> None:
    """Until the operator has made that many passes over its objects since its start."""
    async with asyncio.timeout(DEADLINE_S):
        while _passes(operator) < wanted:  # noqa: ASYNC110 - the counters of another part have no event
            await asyncio.sleep(0.05)


def _passes(operator: Any) -> float:
    families = operator.registry.collect()
    samples = [each for family in families if family.name == "stow_reconciles" for each in family.samples]
    return sum(each.value for each in samples if each.name.endswith("_total"))


async def test_kopf_leaves_no_trace_on_objects(cluster: Cluster, control_plane: ControlPlane, local_root: Path) -> None:
    async with running_operator(control_plane, local_root):
        await cluster.create("StowLocation", "disk", local_location())
        ref = await cluster.create("StowContainer", "reports", container("disk"))
        found = await cluster.ready(ref)
    assert not found["metadata"].get("annotations")
    assert found["metadata"]["finalizers"] == ["stowstore.io/stow-operator"]


async def test_an_object_that_waits_writes_once_and_gets_ready_when_it_can(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        ref = await cluster.create("StowContainer", "reports", container("disk"))
        found = await cluster.reason(ref, "LocationNotFound")
        assert "StowLocation disk" in message(found)
        await cluster.patch(ref, {"metadata": {"labels": {"some": "change"}}})
        place = await cluster.create("StowLocation", "disk", local_location())
        await cluster.ready(ref)
        assert cluster.writes(ref).count("update/status") <= 3
        await cluster.location_ready(place)


async def test_one_bad_object_never_stops_the_others(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        bad_endpoint = {"s3": {"endpoint": "http://127.0.0.1:1", "region": "x"}, "credentials": {"anonymous": {}}}
        bad = await cluster.create("StowLocation", "bad", bad_endpoint)
        lost = [await cluster.create("StowContainer", f"lost-{n}", container("bad")) for n in range(20)]
        await cluster.create("StowLocation", "disk", local_location())
        good = await cluster.create("StowContainer", "good", container("disk"))
        await cluster.ready(good)
        found = await cluster.reason(bad, "Unreachable")
        assert condition(found, "Reachable") == ("False", "Unreachable")
        for ref in lost:
            await cluster.reason(ref, "LocationNotReady")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown location": (container("nowhere"), "LocationNotFound"),
    "foreign location": (container("elsewhere", kind="ClusterStowLocation"), "LocationNotFound"),
    "base container": (container("disk", containerName="base"), "NameNotAllowed"),
    "missing container": (container("disk", provision="Load"), "ContainerNotFound"),
    "forbidden name": (container("strict"), "NameNotAllowed"),
    "missing secret": (container("keyless"), "LocationNotReady"),
}


async def test_each_wrong_input_has_its_own_clear_answer(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    keyless = {"s3": {"endpoint": "http://127.0.0.1:1"}, "credentials": {"secretRef": {"name": "no-such-secret"}}}
    async with running_operator(control_plane, local_root):
        await cluster.create("StowLocation", "disk", local_location(**BASE))
        await cluster.create("StowLocation", "strict", local_location("strict", containerNamePattern="only-this"))
        place = await cluster.create("StowLocation", "keyless", keyless)
        refs = {
            what: await cluster.create("StowContainer", what.replace(" ", "-"), spec)
            for what, (spec, _) in WRONG.items()
        }
        for what, ref in refs.items():
            found = await cluster.reason(ref, WRONG[what][1])
            assert message(found)
        found = await cluster.reason(place, "CredentialsMissing")
        assert "no-such-secret" in message(found)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIACANARY"}, "CredentialsInvalid"),
        ({"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}, "UnsupportedCredentialType"),
    ],
)
async def test_a_wrong_secret_is_answered_and_a_corrected_one_is_seen_without_a_restart(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path, data: dict[str, str], reason: str
) -> None:
    spec = {"s3": {"endpoint": "http://127.0.0.1:1"}, "credentials": {"secretRef": {"name": "keys"}}}
    async with running_operator(control_plane, local_root):
        secret = await cluster.secret("keys", data)
        place = await cluster.create("StowLocation", "remote", spec)
        found = await cluster.reason(place, reason)
        assert condition(found, "CredentialsValid") == ("False", reason)
        assert "CANARY" not in str(found["status"])
        await cluster.delete(secret)
        await cluster.secret("keys", {"AWS_ACCESS_KEY_ID": "A" * 16, "AWS_SECRET_ACCESS_KEY": "secret-canary"})
        found = await cluster.reason(place, "Unreachable")
        assert "canary" not in str(found["status"])


async def test_a_restart_of_the_control_plane_is_survived(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        await cluster.create("StowLocation", "disk", local_location())
        first = await cluster.create("StowContainer", "first", container("disk"))
        await cluster.ready(first)
        before = cluster.writes(first)
        await asyncio.to_thread(control_plane.restart)
        second = await cluster.create("StowContainer", "second", container("disk"))
        await cluster.ready(second)
        assert cluster.writes(first) == before


async def test_a_failed_name_is_free_for_the_next_when_the_owner_goes(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        await cluster.create("StowLocation", "disk", local_location())
        owner = await cluster.create(
            "StowContainer", "owner", container("disk", containerName="shared", deletionPolicy="DeleteIfEmpty")
        )
        await cluster.ready(owner)
        loser = await cluster.create("StowContainer", "loser", container("disk", containerName="shared"))
        found = await cluster.reason(loser, "Conflict")
        assert "owner" in message(found)
        await cluster.delete(owner)
        await cluster.gone(owner)
        await cluster.ready(loser)


async def test_a_namespaces_label_lets_it_in_and_takes_it_out(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    name = f"cluster-{cluster.namespace}"
    allowed = {"selector": {"matchLabels": {"stow-test": cluster.namespace}}}
    namespace = cluster.ref("ClusterStowLocation", cluster.namespace)
    path = object_path("Namespace", None, namespace.name)
    async with running_operator(control_plane, local_root):
        place = await cluster.create("ClusterStowLocation", name, local_location(name, allowedNamespaces=allowed))
        ref = await cluster.create("StowContainer", "box", container(name, kind="ClusterStowLocation"))
        await cluster.reason(ref, "NamespaceNotAllowed")
        await cluster.request("PATCH", path, body={"metadata": {"labels": {"stow-test": cluster.namespace}}})
        await cluster.ready(ref)
        await cluster.request("PATCH", path, body={"metadata": {"labels": {"stow-test": None}}})
        await cluster.reason(ref, "NamespaceNotAllowed")
        await cluster.delete(ref)
        await cluster.gone(ref)
        await cluster.delete(place)
        await cluster.gone(place)


async def test_health_readiness_and_metrics_are_served(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root) as operator, aiohttp.ClientSession() as session:
        host, port = operator.address
        place = await cluster.create("StowLocation", "disk", local_location())
        await cluster.location_ready(place)
        for path, holds in (("healthz", "ok"), ("readyz", "ok"), ("metrics", "stow_reconciles_total")):
            async with session.get(f"http://{host}:{port}/{path}") as response:
                assert response.status == 200
                assert holds in await response.text()


async def test_it_lists_no_secrets_and_writes_only_what_it_should(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root) as operator:
        place = await cluster.create("StowLocation", "disk", local_location())
        await cluster.location_ready(place)
        listed = [path for method, path in operator.requests_sent if method == "GET" and path.endswith("/secrets")]
        assert listed == []
        targets = {path.rpartition("/")[2] for method, path in operator.requests_sent if method in {"PUT", "POST"}}
        assert targets <= {"status", "events"}


async def test_a_conflicting_write_is_tried_again(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        await cluster.create("StowLocation", "disk", local_location())
        ref = await cluster.create("StowContainer", "busy", container("disk"))
        for n in range(30):
            await cluster.patch(ref, {"metadata": {"labels": {"round": str(n)}}})
        await cluster.ready(ref)


async def test_of_two_operators_one_works_and_the_other_takes_over(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    def named(identity: str) -> LeaseName:
        return LeaseName(cluster.namespace, identity)

    async with AsyncExitStack() as leading, AsyncExitStack() as standing_by:
        await cluster.create("StowLocation", "disk", local_location())
        first = await leading.enter_async_context(running_operator(control_plane, local_root, lease=named("first")))
        await cluster.ready(await cluster.create("StowContainer", "one", container("disk")))
        second = await standing_by.enter_async_context(
            running_operator(control_plane, local_root, lease=named("second"))
        )
        await cluster.ready(await cluster.create("StowContainer", "two", container("disk")))
        assert _passes(first) > 0
        assert _passes(second) == 0
        host, port = second.address
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/readyz") as standby:
            assert standby.status == 200, "a rollout waits for it"
        await leading.aclose()
        await cluster.ready(await cluster.create("StowContainer", "three", container("disk")))
        assert _passes(second) > 0
