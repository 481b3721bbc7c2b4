"""The main job, end to end: containers by custom resources, objects by HTTP with nothing but a ServiceAccount token."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from e2e.cluster import ALL_OBJECTS, MAY_SIGN, map_of, rule
from e2e.installation import Installation
from e2e.web import container_path, location_path
from stow.dev.definitions import packaged_folder

KINDS = ("local", "minio")
TEXT = b"Hello from a pod that holds nothing but its token.\n"


@pytest.mark.parametrize("kind", KINDS)
async def test_container_and_objects_work_with_a_token_alone(installation: Installation, kind: str) -> None:
    """Location, Secret and container become Ready; then every verb, by one ServiceAccount."""
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    location = await installation.location(kind, team, signedURL={"methods": ["GET", "PUT"]})
    container = await installation.container(team, "reports")
    found = await cluster.ready(container)
    scheme = "file" if kind == "local" else "s3"
    assert found["status"]["fqn"] == f"{scheme}://{team}-reports"
    assert found["status"]["provisioned"] == "Created"
    await cluster.ready(location)

    token = await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN)
    base = container_path(team, "reports")
    put = await web.ask(
        "PUT", f"{base}/objects/2026/a%20b", token=token, body=TEXT, headers={"Stow-Meta-Author": "app"}
    )
    assert put.status in {200, 201}, put
    head = await web.ask("HEAD", f"{base}/objects/2026/a%20b", token=token)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(TEXT)))
    assert head.headers["Stow-Meta-Author"] == "app"
    got = await web.ask("GET", f"{base}/object?key=2026/a%20b", token=token)
    assert (got.status, got.body) == (200, TEXT)
    part = await web.ask("GET", f"{base}/objects/2026/a%20b", token=token, headers={"Range": "bytes=0-4"})
    assert (part.status, part.body) == (206, TEXT[:5])
    copied = await web.post(
        f"{base}/copy", {"source": {"key": "2026/a b"}, "destination": {"key": "copy"}}, token=token
    )
    assert copied.status in {200, 201}, copied
    listed = await web.ask("GET", f"{base}/objects?delimiter=/", token=token)
    assert listed.status == 200
    assert [each["key"] for each in listed.json["objects"]] == ["copy"], listed.json
    signed = await web.post(f"{base}/sign", {"key": "copy", "method": "GET", "expiresIn": "5m"}, token=token)
    assert signed.status == 200, signed
    by_url = await web.ask("GET", signed.json["url"])
    assert (by_url.status, by_url.body) == (200, TEXT)
    deleted = await web.ask("DELETE", f"{base}/objects/copy", token=token)
    assert deleted.status == 204
    assert (await web.ask("GET", f"{base}/objects/copy", token=token)).code == "object_not_found"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_map_shows_base_declared_and_dynamic_and_loses_what_goes(
    installation: Installation, kind: str
) -> None:
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    loaded, base = f"{team}-loaded", f"{team}-base"
    async with installation.backend(kind, team) as backend:
        await backend.create_container(loaded, None)
    main = await installation.location(
        kind,
        team,
        baseContainer={"name": base, "createIfNotFound": True},
        dynamicContainers={"enabled": True},
    )
    declared = await installation.container(team, "reports")
    await cluster.ready(declared)
    await cluster.until(
        main, lambda found: map_of(found) == {base: "Base", f"{team}-reports": "Declared"}, "a map of two"
    )

    token = await cluster.workload(
        team, "app", rule("stowlocations/objects", "create", "update", "get", names=["main"])
    )
    path = location_path(team, "main", loaded)
    assert (await web.ask("PUT", f"{path}/objects/k", token=token, body=TEXT)).status in {200, 201}
    assert (await web.ask("GET", f"{path}/objects/k", token=token)).body == TEXT
    whole = {base: "Base", f"{team}-reports": "Declared", loaded: "Dynamic"}
    found = await cluster.until(main, lambda found: map_of(found) == whole, "a map of three")
    scheme = "file" if kind == "local" else "s3"
    assert {each["fqn"] for each in found["status"]["containers"]} == {f"{scheme}://{name}" for name in whole}
    assert found["status"]["baseContainerFQN"] == f"{scheme}://{base}"
    # What is declared is served by its StowContainer's name alone.
    at_declared = location_path(team, "main", f"{team}-reports")
    assert (await web.ask("GET", f"{at_declared}/objects/k", token=token)).status == 403

    await cluster.delete(declared)
    await cluster.gone(declared)
    await cluster.until(main, lambda found: map_of(found) == {base: "Base", loaded: "Dynamic"}, "a map without it")


async def test_the_quick_start_becomes_ready_by_kubectl_alone(installation: Installation) -> None:
    """`kubectl apply -f examples/quickstart/ && kubectl wait`, and `kubectl get` reads well at 120 columns."""
    dev = installation.dev

    def kubectl(*arguments: str) -> str:
        done = subprocess.run(
            [str(dev.assets.find("kubectl")), *arguments],
            env={**os.environ, "KUBECONFIG": str(dev.kubeconfig_path)},
            cwd=packaged_folder("quickstart").resolve().parents[1],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    await asyncio.to_thread(kubectl, "apply", "-f", "examples/quickstart/")
    await asyncio.to_thread(kubectl, "wait", "--for=condition=Ready", "stowcontainer", "--all", "--timeout=60s")
    both = "--for=jsonpath={.status.containerCount}=2"  # the map follows its containers
    await asyncio.to_thread(kubectl, "wait", both, "stowlocation/disk", "--timeout=60s")
    shown = await asyncio.to_thread(kubectl, "get", "sl,csl,stc", "-A")
    assert "stowlocation.stowstore.io/disk" in shown
    assert "stowcontainer.stowstore.io/reports" in shown
    assert max(map(len, shown.splitlines())) <= 120, shown
    path = "jsonpath={.status.containers[*].fqn}"
    found = await asyncio.to_thread(kubectl, "get", "stowlocation", "disk", "-o", path)
    assert set(found.split()) == {"file://shared-base", "file://reports"}
