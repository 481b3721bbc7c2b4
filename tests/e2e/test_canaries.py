"""What must never come out: planted secrets, tokens, signatures, a backend's text, and the names of another namespace.

First everything is used on every kind of backend, rightly and wrongly; then all that both processes emitted is searched: logs at their
most verbose, metrics, error bodies, and every object of the API server that is no Secret. Nothing leaves the machine: what a Secret leads
to beyond it (the token services of Google and Azure) is denied.
"""

from __future__ import annotations

import pytest

from e2e.canaries import SHAPES, Planted, every_verb, everything, other_ways_in, token_of
from e2e.cluster import ALL_OBJECTS, MAY_SIGN, rule
from e2e.installation import Installation, s3_spec
from e2e.places import KINDS, TEMP_URL_KEY, place
from e2e.stub_s3 import CANARY, stub_s3
from e2e.web import Reply, container_path, location_path
from operatorworld import condition
from servers.swift import SwiftServer, allow_temp_urls

OPERATOR_OPTIONS = GATEWAY_OPTIONS = ("--log-level", "debug", "--egress-deny", "0.0.0.0/0", "--egress-deny", "::/0")


async def test_nothing_planted_comes_out(installation: Installation, request: pytest.FixtureRequest) -> None:
    planted = Planted()
    planted.texts["MinIO's secret key"] = installation.minio.secret_key
    planted.texts["a backend's text"] = CANARY
    await good_and_wrong_requests(installation, planted)
    swift: SwiftServer = request.getfixturevalue("swift_server")
    await allow_temp_urls(swift, TEMP_URL_KEY)
    for kind in KINDS:
        await every_verb(installation, planted, place(kind, request.getfixturevalue))
    planted.secret("Swift's token", await token_of(swift))
    await other_ways_in(installation, planted, request.getfixturevalue)
    await wrong_secrets(installation, planted)
    async with stub_s3() as stub:
        await a_backend_that_talks(installation, planted, stub.endpoint)
    secret, other = await names_of_another_namespace(installation, planted)

    emitted = await everything(installation)
    for kind in KINDS:  # they speak of every kind, so that there was something to let slip
        assert f"{kind}-".encode() in emitted["gateway's log"]
        assert f" {kind}-".encode() in emitted["operator's log"]
    for where, text in emitted.items():
        for what, canary in planted.texts.items():
            assert len(canary) >= 8
            assert canary.encode() not in text, f"{what} stands in {where}"
        for what, shape in SHAPES.items():
            found = shape.search(text)
            assert found is None, (
                f"{what} stands in {where}, behind {text[max(0, found.start() - 200) : found.start()]!r}"
            )
    in_namespaces = {where: text for where, text in emitted.items() if where.startswith(f"namespace {other}")}
    assert in_namespaces
    for where, text in {**in_namespaces, "its answers": b"\n".join(planted.said)}.items():
        assert secret.encode() not in text, f"the name of another namespace stands in {where}"


async def good_and_wrong_requests(installation: Installation, planted: Planted) -> None:
    """Every verb, on both kinds; tokens that are good, for another audience, cut, and in the wrong place; URLs used and spoilt."""
    cluster, web = installation.cluster, installation.web
    for kind in ("local", "minio"):
        team = await cluster.namespace()
        await installation.location(
            kind, team, signedURL={"methods": ["GET", "PUT"]}, dynamicContainers={"enabled": True}
        )
        await cluster.ready(await installation.container(team, "reports"))
        rights = (ALL_OBJECTS, MAY_SIGN, rule("stowlocations/objects", "get", "list"))
        token = planted.token(f"{kind}: token", await cluster.workload(team, "app", *rights))
        foreign = planted.token(f"{kind}: foreign token", await cluster.token(team, "app", audience="other"))
        base = container_path(team, "reports")
        assert (await web.ask("PUT", f"{base}/objects/k", token=token, body=b"text")).status == 200
        for bearer in (token, foreign, token[:-8], f"{token} {token}"):
            for method, rest in (
                ("GET", "objects/k"),
                ("GET", "objects/none"),
                ("GET", "objects"),
                ("HEAD", "objects/k"),
            ):
                await web.ask(method, f"{base}/{rest}", token=bearer)
        await web.ask("GET", f"{base}/objects/k?token={token}", token=token)
        await web.ask("GET", f"{location_path(team, 'main', 'absent')}/objects/k", token=token)
        await web.ask(
            "PUT", f"{base}/objects/k", token=token, body=b"x", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
        )
        for method in ("GET", "PUT"):
            signed = await web.post(f"{base}/sign", {"key": "k", "method": method}, token=token)
            url = planted.url(f"{kind}: URL for {method}", signed.json["url"])
            answer = await web.ask(method, url, body=b"text" if method == "PUT" else None)
            assert answer.status == 200
            if kind == "local":
                for spoilt in (url[:-1], url.replace("key=k&", "key=other&"), f"{url}&more=1"):
                    assert (await web.ask(method, spoilt)).code == "signature_refused"


async def wrong_secrets(installation: Installation, planted: Planted) -> None:
    """A session token that MinIO refuses, a secret key that it refuses, a Secret of a type that is refused."""
    cluster = installation.cluster
    team = await cluster.namespace()
    cases = {
        "session": {"AWS_SESSION_TOKEN": "canary-session-token-71c1"},
        "value": {"AWS_SECRET_ACCESS_KEY": "canary-secret-value-9d02"},
        "id": {"AWS_ACCESS_KEY_ID": "CANARYKEYID31F7"},
        "type": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/canary-file-55aa"},
        "unknown": {"SECRET": "canary-unknown-key-1b7e"},
        "space": {"AWS_SECRET_ACCESS_KEY": "canary-with a-space-6f21"},
    }
    for name, wrong in cases.items():
        planted.texts.update({f"Secret {name}": value for value in wrong.values()})
        await cluster.secret(team, f"keys-{name}", {**installation.minio_keys(), **wrong})
        location = await cluster.create("StowLocation", team, name, installation.s3_spec(f"keys-{name}"))
        await cluster.until(location, lambda now: condition(now, "Ready") is not None, "judged")


async def a_backend_that_talks(installation: Installation, planted: Planted, endpoint: str) -> None:
    """Its errors carry text of their own: a base container that is not there, an object that is not there."""
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    await cluster.secret(
        team, "keys", {"AWS_ACCESS_KEY_ID": "stub-canary-id-77", "AWS_SECRET_ACCESS_KEY": "stub-canary-secret"}
    )
    planted.texts["the stub's keys"] = "stub-canary"
    spec = s3_spec(endpoint, "keys", baseContainer={"name": "not-there"})
    await cluster.reason(await cluster.create("StowLocation", team, "base", spec), "BaseContainerNotFound")
    await cluster.ready(await cluster.create("StowLocation", team, "main", s3_spec(endpoint, "keys")))
    container = await installation.container(team, "reports")
    await cluster.ready(container)
    token = planted.token("token for the stub", await cluster.workload(team, "app", ALL_OBJECTS))
    for method in ("GET", "HEAD", "DELETE"):
        await web.ask(method, f"{container_path(team, 'reports')}/objects/k", token=token)
    await cluster.delete(container)
    await cluster.gone(container)


async def names_of_another_namespace(installation: Installation, planted: Planted) -> tuple[str, str]:
    """(a namespace's name, another namespace): the second one claims what the first one has, at one backend and one location."""
    cluster, web = installation.cluster, installation.web
    secret, other = await cluster.namespace("hidden"), await cluster.namespace("curious")
    shared = await cluster.create(
        "ClusterStowLocation",
        None,
        "shared-place",
        {"local": {"path": "shared"}, "allowedNamespaces": {"names": [secret, other]}, "containerNamePattern": "*"},
    )
    await cluster.ready(shared)
    asks = {"locationRef": {"kind": "ClusterStowLocation", "name": "shared-place"}}
    owner = await cluster.create("StowContainer", secret, "owner", {**asks, "containerName": "claimed"})
    await cluster.ready(owner)
    for name, more in (("create", {}), ("load", {"provision": "LoadOrCreate"})):
        thief = await cluster.create("StowContainer", other, name, {**asks, "containerName": "claimed", **more})
        await cluster.until(thief, lambda now: condition(now, "Stalled") is not None, "Stalled")
    token = planted.token("the other's token", await cluster.workload(other, "app", ALL_OBJECTS, MAY_SIGN))

    async def note(answer: Reply) -> None:
        planted.said.append(answer.body + repr(dict(answer.headers)).encode())

    for path in (container_path(other, "create"), container_path(other, "load")):
        await note(await web.ask("GET", f"{path}/objects/k", token=token))
        await note(await web.ask("GET", f"{path}/objects", token=token))
        await note(await web.post(f"{path}/sign", {"key": "k"}, token=token))
    await note(await web.ask("GET", "/v1/clusterlocations/shared-place/containers/claimed/objects", token=token))
    return secret, other
