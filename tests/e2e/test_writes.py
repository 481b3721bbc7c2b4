"""What it costs: writes to the API server, counted by its own audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from e2e.cluster import map_of
from e2e.installation import Installation
from stow.api.meta import FINALIZER


@pytest.mark.parametrize("kind", ["local", "minio"])
async def test_three_writes_to_ready_and_none_at_a_restart(installation: Installation, kind: str) -> None:
    """The finalizer, the intent, the outcome; then operator and gateway start anew and find nothing to write."""
    cluster = installation.cluster
    team = await cluster.namespace()
    location = await installation.location(kind, team)
    container = await installation.container(team, "reports")
    await cluster.ready(container)
    assert len(cluster.writes(container)) <= 3, cluster.writes(container)
    await cluster.until(
        location, lambda found: has_finalizer(found) and map_of(found) == {f"{team}-reports": "Declared"}, "in use"
    )
    refs = (location, container)
    before = {ref: cluster.writes(ref) for ref in refs}
    await installation.restart_operator()
    await installation.restart_gateway()
    await settled(installation, kind)
    assert {ref: cluster.writes(ref) for ref in refs} == before


def has_finalizer(found: Mapping[str, Any] | None) -> bool:
    return FINALIZER in (found or {}).get("metadata", {}).get("finalizers", ())


async def settled(installation: Installation, kind: str) -> None:
    """The operator has gone through everything once: something new, applied later, is Ready."""
    team = await installation.cluster.namespace("later")
    await installation.location(kind, team)
    await installation.cluster.ready(await installation.container(team, "probe"))


async def test_an_object_that_waits_is_written_once(installation: Installation) -> None:
    """Its location is not there. Retries, a restart, and ten more objects that come and go cost no further write."""
    cluster = installation.cluster
    team = await cluster.namespace()
    waiting = await installation.container(team, "waits", location="nowhere")
    await cluster.reason(waiting, "LocationNotFound")
    assert len(cluster.writes(waiting)) == 1, cluster.writes(waiting)
    await installation.location("local", team, "other")
    for number in range(10):
        await cluster.ready(await installation.container(team, f"other-{number}", location="other"))
    await installation.restart_operator()
    await settled(installation, "local")
    assert len(cluster.writes(waiting)) == 1, cluster.writes(waiting)


async def test_a_backend_that_is_away_costs_no_write_per_retry(installation: Installation) -> None:
    """An endpoint that refuses connections is tried again and again, silently, also by the next process."""
    cluster = installation.cluster
    team = await cluster.namespace()
    await cluster.secret(team, "keys", installation.minio_keys())
    spec = installation.s3_spec("keys")
    spec["s3"]["endpoint"] = "http://127.0.0.1:9"
    location = await cluster.create("StowLocation", team, "dead", spec)
    await cluster.reason(location, "Unreachable", "Reachable")
    container = await installation.container(team, "waits", location="dead")
    await cluster.reason(container, "LocationNotReady")
    await cluster.until(location, has_finalizer, "in use")
    before = {ref: cluster.writes(ref) for ref in (location, container)}
    await installation.restart_operator()
    await settled(installation, "local")
    assert {ref: cluster.writes(ref) for ref in (location, container)} == before
