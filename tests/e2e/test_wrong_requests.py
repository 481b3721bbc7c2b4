"""Wrong requests to the object API: each has its own status and code, and no request that fails changes an object."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from e2e.cluster import ALL_OBJECTS, AUDIENCE, MAY_SIGN
from e2e.installation import Installation
from e2e.web import Reply, container_path
from stow.dev.controlplane import ISSUER, ControlPlane
from stow.reconcile.objects import ObjectRef

OLD = b"as it was"


@dataclass(frozen=True, slots=True)
class Team:
    """A namespace with two containers on MinIO, and a token that may do all with both and with one that does not exist."""

    name: str
    token: str

    def path(self, rest: str, container: str = "reports") -> str:
        return f"{container_path(self.name, container)}/{rest}"


@pytest.fixture(scope="module")
async def team(installation: Installation) -> AsyncIterator[Team]:
    cluster = installation.cluster
    name = await cluster.namespace()
    await installation.location("minio", name, signedURL={"methods": ["GET"]})
    for each in ("reports", "second"):
        await cluster.ready(await installation.container(name, each))
    token = await cluster.workload(name, "app", ALL_OBJECTS, MAY_SIGN)
    found = Team(name, token)
    assert (await installation.web.ask("PUT", found.path("objects/k"), token=token, body=OLD)).status == 200
    yield found
    after = await installation.web.ask("GET", found.path("objects/k"), token=token)
    assert after.body == OLD, "a request that failed has changed the object"


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_token(plane: ControlPlane, namespace: str, account: str, uid: str, *, expires_in_s: int) -> str:
    """As the API server would have signed it an hour ago: TokenRequest gives nothing shorter than ten minutes."""
    path = plane.kubeconfig_path.parent / "pki" / "service-account.key"
    key = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": [AUDIENCE],
        "iat": now - 3600,
        "nbf": now - 3600,
        "exp": now + expires_in_s,
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": uid}},
    }
    signed = ".".join(unpadded(json.dumps(each).encode()) for each in ({"alg": "ES256"}, claims))
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{unpadded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


# Who is asking


async def test_an_expired_token_is_401_and_the_same_one_in_time_is_not(installation: Installation, team: Team) -> None:
    cluster = installation.cluster
    account = await cluster.get(ObjectRef("ServiceAccount", team.name, "app"))
    assert account is not None
    answers = {}
    for expires_in_s in (-60, 600):
        token = signed_token(cluster.plane, team.name, "app", account["metadata"]["uid"], expires_in_s=expires_in_s)
        answers[expires_in_s] = await installation.web.ask("GET", team.path("objects/k"), token=token)
    assert (answers[600].status, answers[600].body) == (200, OLD)
    assert (answers[-60].status, answers[-60].code) == (401, "unauthenticated")
    assert "expired" in answers[-60].json["detail"]


async def test_a_token_for_another_audience_is_401_and_says_what_volume_to_add(
    installation: Installation, team: Team
) -> None:
    for audience in (None, "somebody-else"):
        token = await installation.cluster.token(team.name, "app", audience=audience)
        answer = await installation.web.ask("GET", team.path("objects/k"), token=token)
        assert (answer.status, answer.code) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        for line in ("serviceAccountToken:", "audience: stowstore.io", "mountPath: /var/run/secrets/stowstore.io"):
            assert line in answer.json["detail"]


async def test_a_token_of_a_deleted_account_is_401(installation: Installation, team: Team) -> None:
    cluster = installation.cluster
    token = await cluster.workload(team.name, "gone", ALL_OBJECTS)
    await cluster.delete(ObjectRef("ServiceAccount", team.name, "gone"))
    answer = await installation.web.ask("GET", team.path("objects/k"), token=token)
    assert (answer.status, answer.code) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"", 401),
        (b"Authorization: Bearer\r\n", 401),
        (b"Authorization: Bearer canary one two\r\n", 401),
        (b"Authorization: Basic Y2FuYXJ5OmNhbmFyeQ==\r\n", 401),
        (b"Authorization: Bearer canary\xff\xfe\r\n", 401),
        (b"Authorization: Bearer canary\x00\r\n", 400),
        (b"Authorization : Bearer canary\r\n", 400),
        (b"Authorization: Bearer canary\r\nAuthorization: Bearer canary\r\n", 400),
        (b"Authorization: Bearer " + b"canary" * 4096 + b"\r\n", 431),
    ],
    ids=["none", "empty", "three words", "basic", "not ascii", "NUL", "space before colon", "twice", "too long"],
)
async def test_a_malformed_authorization_is_refused_and_never_echoed(
    installation: Installation, team: Team, header: bytes, status: int
) -> None:
    answer = await raw(
        installation, b"GET %s HTTP/1.1\r\nHost: g\r\n" % team.path("objects/k").encode() + header + b"\r\n"
    )
    assert int(answer.split(b" ")[1]) == status, answer
    assert b"canary" not in answer
    assert b"canary" not in b"".join(installation.logs.values())


async def raw(installation: Installation, data: bytes, *, end: bool = False) -> bytes:
    """What comes back for these bytes until the head of an answer and its body are there, or the connection ends."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", installation.gateway_port)
        try:
            writer.write(data)
            if end:
                writer.write_eof()
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                ),
                0,
            )
            return head + await reader.readexactly(length)
        finally:
            writer.transport.abort()


# What is asked for


@dataclass(frozen=True, slots=True)
class Bad:
    """A request with a good token that is wrong in one way."""

    method: str
    rest: str
    status: int
    code: str
    container: str = "reports"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


WRONG_MD5 = base64.b64encode(hashlib.md5(b"something else", usedforsecurity=False).digest()).decode()
REQUESTS = {
    "unknown container": Bad("GET", "objects/k", 404, "container_not_found", container="nowhere"),
    "unknown object": Bad("GET", "objects/nothing", 404, "object_not_found"),
    "bad escape": Bad("PUT", "objects/a%zz", 400, "invalid_key", body=b"x"),
    "not UTF-8": Bad("PUT", "objects/a%ff", 400, "invalid_key", body=b"x"),
    "empty key": Bad("PUT", "objects/", 400, "invalid_key", body=b"x"),
    "two slashes on MinIO": Bad("PUT", "objects/a//b", 400, "invalid_key", body=b"x"),
    "dots on MinIO": Bad("PUT", "objects/a/../k", 400, "invalid_key", body=b"x"),
    "too long": Bad("PUT", f"objects/{'k' * 1025}", 400, "invalid_key", body=b"x"),
    "range behind the end": Bad("GET", "objects/k", 416, "range_not_satisfiable", headers={"Range": "bytes=100-"}),
    "wrong MD5": Bad("PUT", "objects/k", 400, "checksum_mismatch", headers={"Content-MD5": WRONG_MD5}, body=b"new"),
    "MD5 that is none": Bad("PUT", "objects/k", 400, "invalid_argument", headers={"Content-MD5": "xyz"}, body=b"new"),
    "create once, twice": Bad(
        "PUT", "objects/k", 412, "precondition_failed", headers={"If-None-Match": "*"}, body=b"n"
    ),
    "another version": Bad("PUT", "objects/k", 412, "precondition_failed", headers={"If-Match": '"0"'}, body=b"n"),
    "made-up cursor": Bad("GET", "objects?cursor=abc", 400, "invalid_cursor"),
    "limit in words": Bad("GET", "objects?limit=many", 400, "invalid_argument"),
    "unknown parameter": Bad("GET", "objects?marker=k", 400, "invalid_argument"),
    "metadata name": Bad("PUT", "objects/k", 400, "invalid_metadata", headers={"Stow-Meta-a_b": "x"}, body=b"n"),
    "no such path": Bad("GET", "things/k", 404, "route_not_found"),
    "no such method": Bad("POST", "objects/k", 405, "method_not_allowed", body=b""),
    "sign what is not allowed": Bad("POST", "sign", 501, "unsupported", body=b'{"key": "k", "method": "PUT"}'),
    "sign with no key": Bad("POST", "sign", 400, "invalid_body", body=b"{}"),
    "copy from nothing": Bad(
        "POST", "copy", 404, "object_not_found", body=b'{"source": {"key": "no"}, "destination": {"key": "k"}}'
    ),
}


@pytest.mark.parametrize("bad", REQUESTS.values(), ids=REQUESTS)
async def test_a_wrong_request_has_its_own_answer(installation: Installation, team: Team, bad: Bad) -> None:
    path = team.path(bad.rest, bad.container)
    answer = await installation.web.ask(bad.method, path, token=team.token, headers=bad.headers, body=bad.body)
    assert (answer.status, answer.code) == (bad.status, bad.code), answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == bad.code
    assert answer.json["detail"]


async def test_without_rights_everything_is_403(installation: Installation, team: Team) -> None:
    token = await installation.cluster.workload(team.name, "nobody")
    for method, rest in (("GET", "objects/k"), ("HEAD", "objects/k"), ("PUT", "objects/k"), ("GET", "objects")):
        answer = await installation.web.ask(method, team.path(rest), token=token)
        assert (answer.status, answer.code) == (403, "forbidden")


async def test_a_range_behind_the_end_says_how_long_the_object_is(installation: Installation, team: Team) -> None:
    answer = await installation.web.ask("GET", team.path("objects/k"), token=team.token, headers={"Range": "bytes=99-"})
    assert answer.headers["Content-Range"] == f"bytes */{len(OLD)}"


async def test_a_cursor_is_good_for_its_own_listing_alone(installation: Installation, team: Team) -> None:
    """Of another container, with another prefix, with one letter changed."""
    web = installation.web
    for number in range(3):
        assert (await web.ask("PUT", team.path(f"objects/page/{number}"), token=team.token, body=b"x")).status == 200
    first = await web.ask("GET", team.path("objects?prefix=page/&limit=1"), token=team.token)
    cursor = first.json["cursor"]
    assert cursor

    async def page(query: str, container: str = "reports") -> Reply:
        return await web.ask("GET", team.path(f"objects?{query}", container), token=team.token)

    assert (await page(f"prefix=page/&limit=1&cursor={cursor}")).json["objects"][0]["key"] == "page/1"
    altered = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    middle = cursor[:10] + ("A" if cursor[10] != "A" else "B") + cursor[11:]
    for wrong in (
        await page(f"prefix=page/&limit=1&cursor={cursor}", "second"),
        await page(f"prefix=other/&limit=1&cursor={cursor}"),
        await page(f"prefix=page/&limit=1&cursor={altered}"),
        await page(f"prefix=page/&limit=1&cursor={middle}"),
    ):
        assert (wrong.status, wrong.code) == (400, "invalid_cursor")


@pytest.mark.parametrize("sent", [0, 1, 99])
async def test_a_body_that_ends_early_is_refused(installation: Installation, team: Team, sent: int) -> None:
    """The client ends its side of the connection; the old object stays (see the fixture), no new one appears."""
    path = team.path("objects/k").encode()
    head = b"PUT %s HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n"
    data = head % (path, team.token.encode()) + b"n" * sent
    try:
        answer = await raw(installation, data, end=True)
    except asyncio.IncompleteReadError as error:
        answer = error.partial
    assert answer == b"" or b'"code": "body_too_short"' in answer, answer
    found = await installation.web.ask("GET", team.path("objects/k"), token=team.token)
    assert found.body == OLD
