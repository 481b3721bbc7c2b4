"""What must not come out, planted on every kind of backend, and all the places where it could."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from yarl import URL

from e2e.cluster import ALL_OBJECTS, MAY_SIGN
from e2e.installation import Installation
from e2e.places import Fixture, Place, place
from e2e.scenes import until_served
from e2e.web import container_path
from operatorworld import condition
from servers.azurite import AzuriteServer
from servers.swift import SwiftServer
from stow.storage.clock import utc_now

SHAPES = {
    "a Swift token": re.compile(rb"AUTH_tk[0-9a-f]{8}"),
    "a bearer token": re.compile(rb"[Bb]earer [A-Za-z0-9_-]{20}"),
    "a token of a ServiceAccount": re.compile(rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ"),
    "a signature in a query": re.compile(rb"(?i)(x-amz-signature|x-goog-signature|temp_url_sig|[?&]sig)=[0-9a-z]"),
    "a private key": re.compile(rb"PRIVATE KEY"),
    "an Authorization header": re.compile(rb"(?i)(AWS4-HMAC-SHA256 Credential|SharedKey [a-z0-9]+:)"),
}
"""What secrets look like that no test planted, because the processes made them or were given them."""


@dataclass(slots=True)
class Planted:
    """Texts by what they are; ``said`` are the answers that the other namespace got."""

    texts: dict[str, str] = field(default_factory=dict)
    said: list[bytes] = field(default_factory=list)

    def token(self, name: str, token: str) -> str:
        """Its signature is what makes it one: nor may that appear alone."""
        self.texts[f"{name}, whole"] = token
        self.texts[f"{name}, signature"] = token.rsplit(".", 1)[-1]
        return token

    def secret(self, name: str, value: str) -> str:
        """Nor may it stand there as it is written in a URL."""
        self.texts[name] = value
        self.texts[f"{name}, escaped"] = quote(value, safe="")
        return value

    def url(self, name: str, url: str) -> str:
        query = parse_qs(urlsplit(url).query)
        (signature,) = next(query[each] for each in ("sig", "X-Amz-Signature", "temp_url_sig") if each in query)
        self.secret(f"{name}, signature", signature)
        return url


async def every_verb(installation: Installation, planted: Planted, where: Place) -> None:
    """One kind, from its Secret to a signed URL that was spoilt; then the same Secret with a wrong value in it."""
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace(where.kind)
    for name, value in (where.secret or {}).items():
        if name not in {"AWS_ACCESS_KEY_ID", "ST_USER"}:
            planted.secret(f"{where.kind}: {name}", value)
    for name, value in where.wrong.items():
        planted.secret(f"{where.kind}: wrong {name}", value)
    if where.secret is not None:
        await cluster.secret(team, "keys", where.secret)
        await cluster.secret(team, "wrong", {**where.secret, **where.wrong})
        base = {"baseContainer": {"name": f"{team}-wrong"}}
        wrong = await cluster.create("StowLocation", team, "wrong", where.location("wrong", **base))
        await cluster.until(wrong, lambda now: condition(now, "Ready") is not None, "judged")
        await cluster.create("StowLocation", team, "dead", where.dead_location())
    spec = where.location(signedURL={"methods": ["GET", "PUT"]})
    location = await cluster.create("StowLocation", team, "main", spec)
    await cluster.ready(await installation.container(team, "reports"))
    signs = (await cluster.ready(location))["status"]["capabilities"]["signMethods"]
    token = planted.token(f"{where.kind}: token", await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN))
    base_path = container_path(team, "reports")
    await until_served(web, f"{base_path}/objects", token)
    assert (await web.ask("PUT", f"{base_path}/objects/k", token=token, body=b"text")).status == 200
    for method, rest in (("GET", "objects/k"), ("GET", "objects/none"), ("HEAD", "objects/none"), ("GET", "objects")):
        await web.ask(method, f"{base_path}/{rest}", token=token)
    for method in ("GET", "PUT"):
        signed = await web.post(f"{base_path}/sign", {"key": "k", "method": method}, token=token)
        if signed.status != 200:
            assert where.secret is None or method not in signs, (where.kind, method)
            continue
        url, headers = planted.url(f"{where.kind}: {method}", signed.json["url"]), signed.json["requiredHeaders"]
        used = await web.session.request(
            method, URL(url, encoded=True), headers=headers, data=b"x" if method == "PUT" else None
        )
        assert used.status in {200, 201}
        # Somebody sends a URL of the backend to the gateway, with its signature.
        await web.ask(method, f"{base_path}/objects/k?{urlsplit(url).query}", token=token)


async def token_of(swift: SwiftServer) -> str:
    """The token that Swift gives its user, whoever asks: it keeps one until it ends."""
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.key}
    async with aiohttp.ClientSession() as http, http.get(swift.auth_url, headers=headers) as answer:
        return str(answer.headers["X-Auth-Token"])


async def other_ways_in(installation: Installation, planted: Planted, fixture: Fixture) -> None:
    """Credentials that work (a SAS token), that lead nowhere from here, and that are refused for what they are."""
    cluster = installation.cluster
    team = await cluster.namespace()
    azurite: AzuriteServer = fixture("azurite")
    sas = generate_account_sas(
        azurite.account,
        azurite.key,
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True, tag=True),
        expiry=utc_now() + timedelta(hours=1),
    )
    planted.url("a SAS token", f"http://server/?{sas}")
    await cluster.secret(team, "sas", {"AZURE_STORAGE_SAS_TOKEN": sas})
    azure, google = place("azure", fixture), place("google", fixture)
    spec = azure.location("sas", credentials={"secretRef": {"name": "sas"}})
    location = await cluster.create("StowLocation", team, "sas", spec)
    await cluster.ready(location)
    await cluster.ready(await installation.container(team, "by-sas", location="sas"))

    key = (
        rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    )
    for number, line in enumerate(key.splitlines()[1:-1]):
        planted.texts[f"line {number} of a private key"] = line
    document = {
        "type": "service_account",
        "client_email": "app@planted.iam.gserviceaccount.com",
        "private_key": key,
        "private_key_id": "canary-private-key-id-77b1",
        "project_id": "planted",
    }
    principal = {
        "AZURE_TENANT_ID": "11111111-2222-3333-4444-555555555555",
        "AZURE_CLIENT_ID": "11111111-2222-3333-4444-666666666666",
        "AZURE_CLIENT_SECRET": planted.secret("a client secret", "canary-client-secret-0b5d"),
    }
    federated = {"type": "external_account", "token_url": "http://127.0.0.1:9/canary-token-url"}
    connection = f"AccountName={azurite.account};AccountKey=canary-connection-key-a2"
    cases: dict[str, tuple[Place, dict[str, str]]] = {
        "google-key": (google, {"credentials.json": json.dumps(document)}),
        "google-user": (google, {"credentials.json": json.dumps({**document, "type": "authorized_user"})}),
        "google-federated": (google, {"credentials.json": json.dumps(federated)}),
        "google-garbage": (google, {"credentials.json": "canary-no-json{"}),
        "azure-principal": (azure, principal),
        "azure-connection": (azure, {"AZURE_STORAGE_CONNECTION_STRING": connection}),
        "azure-sas": (azure, {"AZURE_STORAGE_SAS_TOKEN": "sv=2024&sig=canary-sas-signature"}),
    }
    planted.texts["what refused Secrets hold"] = "canary-token-url"
    planted.texts |= {text: text for text in ("canary-no-json", "canary-connection-key", "canary-sas-signature")}
    planted.texts["the key's id"] = document["private_key_id"]
    for name, (where, data) in cases.items():
        await cluster.secret(team, name, data)
        spec = where.location(credentials={"secretRef": {"name": name}}, baseContainer={"name": f"{team}-{name}"})
        location = await cluster.create("StowLocation", team, name, spec)
        found = await cluster.until(location, lambda now: condition(now, "Ready") is not None, "judged")
        assert (condition(found, "Ready") or ("",))[0] == "False", name


async def everything(installation: Installation) -> dict[str, bytes]:
    """All that came out, by where it stands."""
    cluster, found = installation.cluster, {f"{name}'s log": text for name, text in installation.logs.items()}
    for path in await listable(installation):
        for each in (await cluster.request("GET", path))["items"]:
            namespace, name = each["metadata"].get("namespace", "-"), each["metadata"]["name"]
            if "stowstore.io" in path:
                found[f"namespace {namespace}: status of {path}/{name}"] = json.dumps(each.pop("status", {})).encode()
                found[f"{path}: {namespace}/{name}"] = json.dumps(each).encode()
            elif path.endswith("/events"):
                found[f"namespace {namespace}: Event {path}/{name}"] = json.dumps(each).encode()
            else:
                found[f"{path}: {namespace}/{name}"] = json.dumps(each).encode()
    for name, port in (("gateway", installation.gateway_port), ("operator", installation.operator_port)):
        metrics = await installation.web.ask("GET", f"http://127.0.0.1:{port}/metrics")
        assert metrics.status == 200
        found[f"{name}'s metrics"] = metrics.body
    found["error bodies"] = b"\n".join(installation.web.seen)
    assert len(found["error bodies"]) > 1000, "the wrong requests were answered with errors"
    return found


async def listable(installation: Installation) -> list[str]:
    """The paths of all collections that the API server has, but that of Secrets."""
    request, paths = installation.cluster.request, ["/api/v1"]
    for group in (await request("GET", "/apis"))["groups"]:
        paths += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
    found: list[str] = []
    for path in paths:
        resources: list[dict[str, Any]] = (await request("GET", path))["resources"]
        found += [
            f"{path}/{each['name']}" for each in resources if "list" in each["verbs"] and each["kind"] != "Secret"
        ]
    assert {"/api/v1/configmaps", "/api/v1/events", "/apis/stowstore.io/v1alpha1/stowcontainers"} <= set(found)
    return found
