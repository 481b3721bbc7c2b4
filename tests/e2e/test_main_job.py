"""The main job, end to end: containers by custom resources, objects by HTTP with nothing but a ServiceAccount token."""

from __future__ import annotations

import pytest

from e2e.cluster import ALL_OBJECTS, MAY_SIGN
from e2e.installation import Installation
from e2e.web import container_path

pytestmark = pytest.mark.xdist_group("e2e-main-job")
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
