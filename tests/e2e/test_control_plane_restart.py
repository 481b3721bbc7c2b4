"""The API server, its controllers and etcd stop and start again under a running operator and gateway: they go on, and lose nothing."""

from __future__ import annotations

import asyncio

from e2e.cluster import ALL_OBJECTS, is_ready
from e2e.installation import Installation
from e2e.web import container_path
from stow.reconcile.objects import ObjectRef


async def test_a_restart_of_the_control_plane_loses_nothing(installation: Installation) -> None:
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    await installation.location("minio", team)
    kept = await installation.container(team, "kept")
    ending = await installation.container(team, "ending", deletionPolicy="DeleteIfEmpty")
    await cluster.ready(kept)
    await cluster.ready(ending)
    token, base = await cluster.workload(team, "app", ALL_OBJECTS), container_path(team, "kept")
    assert (await web.ask("PUT", f"{base}/objects/k", token=token, body=b"kept")).status == 200
    before = cluster.writes(kept)
    assert installation.operator is not None
    assert installation.gateway is not None
    pids = (installation.operator.pid, installation.gateway.pid)

    # What is asked for right before it goes, and what a known caller reads while it is away.
    late = await installation.container(team, "late")
    await cluster.delete(ending)
    restarting = asyncio.create_task(asyncio.to_thread(cluster.plane.restart))
    answers = []
    while not restarting.done():
        answer = await web.ask("GET", f"{base}/objects/k", token=token)
        answers.append((answer.status, answer.body if answer.status == 200 else answer.code))
        await asyncio.wait({restarting}, timeout=0.2)
    await restarting
    assert set(answers) <= {(200, b"kept"), (503, "auth_unavailable")}, set(answers)
    assert (200, b"kept") in answers, "what is cached for a known caller is served on"

    await cluster.until(late, is_ready, "Ready")
    await cluster.gone(ending)
    after = await installation.container(team, "after")
    await cluster.ready(after)
    assert cluster.writes(kept) == before
    newcomer = await cluster.workload(team, "newcomer", ALL_OBJECTS)
    assert (await web.ask("GET", f"{base}/objects/k", token=newcomer)).body == b"kept"
    later = f"{container_path(team, 'after')}/objects/k"
    assert (await web.ask("PUT", later, token=newcomer, body=b"x")).status == 200
    assert (installation.operator.pid, installation.gateway.pid) == pids
    assert installation.operator.exit_code() is None
    assert installation.gateway.exit_code() is None
    await cluster.delete(after)
    await cluster.gone(ObjectRef("StowContainer", team, "after"))
