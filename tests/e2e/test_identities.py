"""Whom a location trusts, and as whom it comes: private authorities, credentials for signing alone, and those of the environment.

Both processes run here with keys, profiles, endpoints and proxies in their environment. The keys are right: whatever used them without
being told to would work.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connections.front import front
from e2e.cluster import ALL_OBJECTS, DEADLINE_S, MAY_SIGN, RETRY_S, Cluster
from e2e.installation import Installation, installed
from e2e.places import DEAD
from e2e.web import Reply, container_path
from operatorworld import condition, message
from servers.azurite import AzuriteServer
from servers.minio import MinioServer
from servers.minio_users import add_user, remove_user
from stow.dev.assets import Assets
from stow.dev.certificates import Authority, now
from stow.dev.controlplane import ControlPlane
from stow.kube.rest import collection_path

SIGNERS = {"stow-signer-a": "canary-signer-a-8e21", "stow-signer-b": "canary-signer-b-93f0"}


@pytest.fixture(scope="module")
async def installation(
    cluster: Cluster, control_plane: ControlPlane, assets: Assets, minio: MinioServer, tmp_path_factory: Any
) -> AsyncIterator[Installation]:
    """As everywhere, in an environment that is full of what must not count."""
    profile = tmp_path_factory.mktemp("profile") / "config"
    profile.write_text("[default]\nregion = planted\nendpoint_url = http://127.0.0.1:9\n", encoding="utf-8")
    environment = {
        "AWS_ACCESS_KEY_ID": minio.access_key,
        "AWS_SECRET_ACCESS_KEY": minio.secret_key,
        "AWS_CONFIG_FILE": str(profile),
        "AWS_ENDPOINT_URL": DEAD,
        "AWS_ENDPOINT_URL_S3": DEAD,
        "HTTP_PROXY": DEAD,
        "http_proxy": DEAD,
        "ALL_PROXY": DEAD,
        "AZURE_STORAGE_KEY": "cGxhbnRlZA==",
        "OS_CLOUD": "planted",
        "OS_AUTH_URL": DEAD,
        "ST_AUTH": DEAD,
    }
    async with installed(cluster, control_plane, assets, minio, environment=environment) as found:
        yield found


async def until_answer(ask: Callable[[], Awaitable[Reply]], holds: Callable[[Reply], bool], what: str) -> Reply:
    """Ask until the answer is so: the gateway follows Secrets and custom resources by itself."""
    answer: Reply | None = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = await ask()
                if holds(answer):
                    return answer
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise AssertionError(f"no answer was {what}; the last one is {answer}") from None


# Private authorities


def authority(folder: Path, name: str) -> tuple[str, Path, Path]:
    """(its certificate as PEM, a server's certificate of it, that one's key)"""
    (folder / name).mkdir()
    made = Authority(folder / name, now=now())
    pair = made.issue_server("server")
    return made.path.read_text(encoding="ascii"), pair.certificate_path, pair.key_path


async def test_a_private_ca_of_a_secret_is_trusted_and_rotated_without_a_restart(
    installation: Installation, tmp_path: Path
) -> None:
    """MinIO behind TLS of an authority; then the server's certificate comes from another one, and the bundle follows."""
    cluster, minio = installation.cluster, installation.minio
    first, second = authority(tmp_path, "first"), authority(tmp_path, "second")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*first[1:])
    parts = urlsplit(minio.endpoint)
    assert parts.hostname is not None
    assert parts.port is not None
    team = await cluster.namespace()
    await cluster.secret(team, "keys", installation.minio_keys())
    async with front((parts.hostname, parts.port), context=context) as door:
        spec = installation.s3_spec("keys")
        spec["s3"]["endpoint"] = f"https://127.0.0.1:{door.port}"
        location = await cluster.create("StowLocation", team, "main", spec)
        found = await cluster.until(
            location, lambda now: (condition(now, "Reachable") or ("",))[0] == "False", "not reachable"
        )
        assert "certificate" in message(found, "Reachable"), message(found, "Reachable")
        assert door.talks == 0, "something was said to a server that nobody trusts"

        bundle = await cluster.secret(team, "ca", {"ca.crt": first[0]})
        await cluster.patch(location, {"spec": {"caBundle": {"secretRef": {"name": "ca"}}}})
        await cluster.ready(location)
        container = await installation.container(team, "reports")
        await cluster.ready(container)
        token = await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN)
        path = f"{container_path(team, 'reports')}/objects/k"

        async def get() -> Reply:
            return await installation.web.ask("GET", path, token=token)

        async def put() -> Reply:
            return await installation.web.ask("PUT", path, token=token, body=b"by TLS")

        await until_answer(put, lambda answer: answer.status == 200, "a success")
        assert (await get()).body == b"by TLS"

        context.load_cert_chain(*second[1:])
        await door.drop()
        answer = await get()
        assert (answer.status, answer.code) == (503, "backend_unreachable")
        await cluster.patch(bundle, {"stringData": {"ca.crt": first[0] + second[0]}})
        answer = await until_answer(get, lambda answer: answer.status == 200, "a success")
        assert answer.body == b"by TLS"
        await cluster.ready(location)

        await cluster.patch(bundle, {"stringData": {"ca.crt": "no certificate"}})
        await cluster.reason(location, "CABundleInvalid")
        assert (await get()).status == 200, "the last good client serves on"
        await cluster.patch(bundle, {"stringData": {"ca.crt": second[0]}})
        await cluster.ready(location)
        await cluster.delete(container)
        await cluster.gone(container)
        await cluster.delete(location)
        await cluster.gone(location)


async def test_a_private_ca_of_a_config_map_is_trusted_once_it_is_there(
    installation: Installation, azurite_tls: AzuriteServer
) -> None:
    cluster = installation.cluster
    team = await cluster.namespace()
    await cluster.secret(team, "keys", {"AZURE_STORAGE_KEY": azurite_tls.key})
    spec = {
        "azure": {"account": azurite_tls.account, "endpoint": azurite_tls.endpoint},
        "credentials": {"secretRef": {"name": "keys"}},
    }
    untrusting = await cluster.create("StowLocation", team, "untrusting", spec)
    found = await cluster.reason(untrusting, "Unreachable", "Reachable")
    assert "certificate" in message(found, "Reachable"), message(found, "Reachable")
    trusted = {"caBundle": {"configMapRef": {"name": "ca", "key": "root.pem"}}}
    location = await cluster.create("StowLocation", team, "main", {**spec, **trusted})
    await cluster.reason(location, "CABundleMissing")
    assert azurite_tls.ca_path is not None
    body = {"metadata": {"name": "ca"}, "data": {"root.pem": azurite_tls.ca_path.read_text(encoding="ascii")}}
    await cluster.request("POST", collection_path("ConfigMap", team), body=body)
    await cluster.ready(location)
    await cluster.ready(await installation.container(team, "reports"))
    token = await cluster.workload(team, "app", ALL_OBJECTS)
    path = f"{container_path(team, 'reports')}/objects/k"

    async def put() -> Reply:
        return await installation.web.ask("PUT", path, token=token, body=b"by TLS")

    await until_answer(put, lambda answer: answer.status == 200, "a success")
    assert (await installation.web.ask("GET", path, token=token)).body == b"by TLS"


# Credentials that sign and do nothing else


def signed_by(url: str) -> str:
    return parse_qs(urlsplit(url).query)["X-Amz-Credential"][0].partition("/")[0]


async def test_signed_urls_come_from_credentials_of_their_own_and_end_with_them(installation: Installation) -> None:
    """Two users of MinIO that may read, and a root that does the rest: URLs live and die with the users, the rest goes on."""
    cluster, minio, web = installation.cluster, installation.minio, installation.web
    for name, key in SIGNERS.items():
        await add_user(minio, name, key, actions=["s3:GetObject"])
    first, second = SIGNERS
    team = await cluster.namespace()
    await cluster.secret(team, "keys", installation.minio_keys())
    signer = await cluster.secret(team, "signer", keys_of(first))
    signing = {"credentials": {"secretRef": {"name": "signer"}}, "methods": ["GET", "PUT"]}
    location = await cluster.create("StowLocation", team, "main", installation.s3_spec("keys", signedURL=signing))
    await cluster.ready(location)
    await cluster.ready(await installation.container(team, "reports"))
    token = await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN)
    base = container_path(team, "reports")

    async def put() -> Reply:
        return await web.ask("PUT", f"{base}/objects/k", token=token, body=b"x")

    async def sign(method: str = "GET") -> Reply:
        return await web.post(f"{base}/sign", {"key": "k", "method": method, "expiresIn": "10m"}, token=token)

    await until_answer(put, lambda answer: answer.status == 200, "a success")
    old, writing = (await sign()).json["url"], (await sign("PUT")).json
    assert {signed_by(old), signed_by(writing["url"])} == {first}
    assert (await web.ask("GET", old)).body == b"x"
    refused = await web.ask("PUT", writing["url"], body=b"y", headers=writing["requiredHeaders"])
    assert refused.status == 403, "the URL may what its signer may"

    await cluster.patch(signer, {"stringData": keys_of(second)})
    new = await until_answer(sign, lambda answer: signed_by(answer.json["url"]) == second, "signed anew")
    assert (await web.ask("GET", old)).status == 200, "the key before is not revoked yet"
    await remove_user(minio, first)
    assert (await web.ask("GET", old)).status == 403
    assert (await web.ask("GET", new.json["url"])).body == b"x"
    assert (await put()).status == 200

    await remove_user(minio, second)
    assert (await web.ask("GET", new.json["url"])).status == 403
    assert (await put()).status == 200, "what does not sign is not touched"
    await cluster.patch(location, {"spec": {"limits": {"maxWriteBytes": 100}}})  # has it looked at now
    found = await cluster.reason(location, "CredentialsInvalid", "CredentialsValid")
    said = message(found, "CredentialsValid")
    assert "spec.signedURL.credentials" in said
    assert not [key for key in (*SIGNERS, *SIGNERS.values()) if key in said]
    assert (await put()).status == 200


def keys_of(user: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": SIGNERS[user]}


# The environment


async def test_the_environment_counts_for_an_ambient_cluster_location_and_for_no_other(
    installation: Installation,
) -> None:
    cluster, minio, web = installation.cluster, installation.minio, installation.web
    team = await cluster.namespace()
    s3 = installation.s3_spec()["s3"]
    ambient = {"s3": s3, "credentials": {"ambient": {}}}
    await cluster.reason(
        await cluster.create("StowLocation", team, "ambient", ambient), "AmbientCredentialsForbidden", "Stalled"
    )
    wrong = {"AWS_ACCESS_KEY_ID": minio.access_key, "AWS_SECRET_ACCESS_KEY": "canary-wrong-but-asked-for"}
    await cluster.secret(team, "wrong", wrong)
    refused = await cluster.create("StowLocation", team, "wrong", installation.s3_spec("wrong"))
    await cluster.reason(refused, "CredentialsInvalid", "CredentialsValid")
    missing = await cluster.create("StowLocation", team, "missing", installation.s3_spec("nowhere"))
    await cluster.reason(missing, "CredentialsMissing", "CredentialsValid")
    anonymous = {"s3": s3, "credentials": {"anonymous": {}}, "baseContainer": {"name": f"{team}-anonymous"}}
    nobody = await cluster.create("StowLocation", team, "nobody", anonymous)
    found = await cluster.until(nobody, lambda now: condition(now, "Ready") is not None, "judged")
    assert condition(found, "Ready") == ("False", "Denied"), found["status"]

    spec = {**ambient, "allowedNamespaces": {"names": [team]}, "signedURL": {"methods": ["GET"]}}
    location = await cluster.create("ClusterStowLocation", None, f"ambient-{team}", spec)
    await cluster.ready(location)
    reference = {"kind": "ClusterStowLocation", "name": location.name}
    container = await cluster.create("StowContainer", team, "reports", {"locationRef": reference})
    status = (await cluster.ready(container))["status"]
    assert status["fqn"] == f"s3://{team}-reports"
    token = await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN)
    base = container_path(team, "reports")

    async def put() -> Reply:
        return await web.ask("PUT", f"{base}/objects/k", token=token, body=b"ambient")

    await until_answer(put, lambda answer: answer.status == 200, "a success")
    signed = await web.post(f"{base}/sign", {"key": "k", "method": "GET"}, token=token)
    assert signed_by(signed.json["url"]) == minio.access_key
    assert (await web.ask("GET", signed.json["url"])).body == b"ambient"
    await cluster.delete(container)
    await cluster.gone(container)
