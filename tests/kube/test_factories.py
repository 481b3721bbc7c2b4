"""The real factories under the pool: a disk, and MinIO, which checks signatures."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from fakes.kube import FakeSecrets, snapshot
from servers.minio import MinioServer
from stow.api.backend import S3Spec
from stow.api.principal import AnonymousCredentials
from stow.dev.certificates import Authority
from stow.errors import (
    BackendUnreachableError,
    CABundleInvalidError,
    CredentialsError,
    EndpointForbiddenError,
    UnsupportedError,
)
from stow.kube.cache import ObjectCache
from stow.kube.factories import driver_factories
from stow.kube.keymaterial import KeyMaterial
from stow.kube.keys import NewKeys
from stow.kube.plans import PlanSettings, RemotePlan
from stow.kube.stores import PoolParts, StorePool
from stow.reconcile.objects import Snapshot
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.local_signing import parse, verify
from stow.storage.metrics import StoreMetrics
from stow.storage.model import MIB, Method, Scope, SignedURLProperties, WriteOptions
from stow.storage.store import StowStore


class World:
    """A pool with the real drivers; time is real."""

    def __init__(self, root: Path, egress: EgressPolicy | None = None) -> None:
        self.secrets = FakeSecrets()
        self.keys: KeyMaterial = NewKeys(utc_now).first()
        policy = egress or EgressPolicy(allowed=LOOPBACK)
        parts = PoolParts(
            objects=ObjectCache(),
            secrets=self.secrets,
            factories=driver_factories(
                clock=utc_now,
                keyring=lambda: self.keys.keyring(utc_now()),
                egress=policy,
                budget=ByteBudget(64 * MIB),
            ),
            metrics=StoreMetrics(CollectorRegistry()),
            clock=utc_now,
            cursor_key=lambda: self.keys.cursor,
            egress=policy,
        )
        plans = PlanSettings("stow-system", local_root=root, public_url="https://objects.example.com/base")
        self.pool = StorePool(parts, plans)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.pool.aclose()


@pytest.fixture
async def strict_world(tmp_path: Path) -> AsyncIterator[World]:
    """With the deny list as it is by default."""
    made = World(tmp_path, EgressPolicy())
    yield made
    await made.pool.aclose()


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def read(store: StowStore, container: str, key: str) -> bytes:
    stream = await store.read_raw(store.reference(container, key))
    async with stream:
        return b"".join([chunk async for chunk in stream])


def disk(**spec: Any) -> Snapshot:
    return snapshot("StowLocation", "disk", spec={"local": {"path": "data"}, **spec})


async def test_a_local_location_stores_below_its_namespace_and_signs_for_its_route(
    world: World, tmp_path: Path
) -> None:
    location = disk(baseContainer={"name": "photos"}, signedURL={"methods": ["GET"]})
    store = (await world.pool.open(location)).store
    await store.create_container("photos")
    await store.write_raw(store.reference("photos", "a/b"), 5, WriteOptions(), chunks(b"hello"))
    assert await read(store, "photos", "a/b") == b"hello"
    assert any((tmp_path / "team" / "data").iterdir())
    signed = await store.create_signed_url(
        store.reference("photos", "a/b"), SignedURLProperties(Method.GET), scope=Scope("team")
    )
    url = urlsplit(signed.url)
    request = parse(url.path.removeprefix("/base"), url.query)
    assert request.grant.route == "namespaces/team/locations/disk/containers/photos"
    grant = verify(
        request,
        keyring=world.keys.keyring(utc_now()),
        method="GET",
        container_uid=location.uid,
        content_md5=None,
        content_type=None,
        now=utc_now(),
    )
    assert grant.key == "a/b"


def minio_location(server: MinioServer, *, generation: int = 1, **spec: Any) -> Snapshot:
    whole = {
        "s3": {"endpoint": server.endpoint, "region": server.region},
        "credentials": {"secretRef": {"name": "key"}},
        "baseContainer": {"name": "pool-base"},
        **spec,
    }
    return snapshot("StowLocation", "minio", spec=whole, generation=generation)


async def test_a_wrong_new_key_keeps_the_last_good_client_and_a_right_one_is_in_use_at_once(
    world: World, minio: MinioServer, unique_name: Callable[[str], str]
) -> None:
    name = unique_name("pool")
    location = minio_location(minio, baseContainer={"name": name})
    world.secrets.put("team", "key", AWS_ACCESS_KEY_ID=minio.access_key, AWS_SECRET_ACCESS_KEY=minio.secret_key)
    first = (await world.pool.open(location)).store
    await first.create_container(name)
    await first.write_raw(first.reference(name, "k"), 5, WriteOptions(), chunks(b"hello"))
    world.secrets.put(
        "team", "key", version=2, AWS_ACCESS_KEY_ID=minio.access_key, AWS_SECRET_ACCESS_KEY="planted-wrong"
    )
    opened = await world.pool.open(location)
    assert opened.store is first
    assert isinstance(opened.problem, CredentialsError)
    assert "planted-wrong" not in str(opened.problem)
    assert await read(opened.store, name, "k") == b"hello"
    world.secrets.put(
        "team",
        "key",
        version=3,
        AWS_ACCESS_KEY_ID=minio.access_key,
        AWS_SECRET_ACCESS_KEY=minio.secret_key,
    )
    assert (await world.pool.open(location)).problem is None
    await first.delete(first.reference(name, "k"))
    await first.delete_container(name)


async def test_a_download_that_began_on_the_old_client_ends_on_it(
    world: World, minio: MinioServer, unique_name: Callable[[str], str]
) -> None:
    name = unique_name("pool")
    world.secrets.put("team", "key", AWS_ACCESS_KEY_ID=minio.access_key, AWS_SECRET_ACCESS_KEY=minio.secret_key)
    store = (await world.pool.open(minio_location(minio, baseContainer={"name": name}))).store
    await store.create_container(name)
    size = 8 * MIB
    await store.write_raw(store.reference(name, "big"), size, WriteOptions(), chunks(*[b"x" * MIB] * 8))
    stream = await store.read_raw(store.reference(name, "big"))
    async with stream:
        chunks_of = aiter(stream)
        received = len(await anext(chunks_of))
        other = f"http://localhost:{urlsplit(minio.endpoint).port}"
        moved = minio_location(
            minio, generation=2, baseContainer={"name": name}, s3={"endpoint": other, "region": minio.region}
        )
        new = (await world.pool.open(moved)).store
        assert new is not store
        world.pool.sweep()
        async for chunk in chunks_of:
            received += len(chunk)
    assert received == size
    await new.delete(new.reference(name, "big"))
    await new.delete_container(name)


async def test_a_location_that_leads_to_loopback_is_refused_by_default(strict_world: World, minio: MinioServer) -> None:
    world = strict_world
    world.secrets.put("team", "key", AWS_ACCESS_KEY_ID=minio.access_key, AWS_SECRET_ACCESS_KEY=minio.secret_key)
    port = urlsplit(minio.endpoint).port
    for host in ("127.0.0.1", "localhost"):
        spec = {"s3": {"endpoint": f"http://{host}:{port}", "region": minio.region}}
        with pytest.raises(EndpointForbiddenError):
            await world.pool.open(minio_location(minio, **spec))
        await world.pool.close(minio_location(minio).ref)


async def test_signed_urls_of_s3_lead_to_the_endpoint_that_clients_know(
    world: World, minio: MinioServer, unique_name: Callable[[str], str]
) -> None:
    name = unique_name("pool")
    location = minio_location(
        minio, baseContainer={"name": name}, signedURL={"endpoint": "https://objects.example.com", "methods": ["GET"]}
    )
    world.secrets.put("team", "key", AWS_ACCESS_KEY_ID=minio.access_key, AWS_SECRET_ACCESS_KEY=minio.secret_key)
    store = (await world.pool.open(location)).store
    properties = SignedURLProperties(Method.GET)
    signed = await store.create_signed_url(store.reference(name, "k"), properties, scope=Scope("team"))
    assert urlsplit(signed.url).hostname == "objects.example.com"
    put = SignedURLProperties(Method.PUT)
    with pytest.raises(UnsupportedError):
        await store.create_signed_url(store.reference(name, "k"), put, scope=Scope("team"))


async def test_own_signing_credentials_stand_in_the_url_and_wrong_ones_are_named(
    world: World, minio: MinioServer, unique_name: Callable[[str], str]
) -> None:
    """MinIO checks both: the signer's probe is refused with a wrong key, and then no other key signs."""
    name = unique_name("pool")
    spec = {"signedURL": {"methods": ["GET"], "credentials": {"secretRef": {"name": "signer"}}}}
    location = minio_location(minio, baseContainer={"name": name}, **spec)
    world.secrets.put("team", "key", AWS_ACCESS_KEY_ID=minio.access_key, AWS_SECRET_ACCESS_KEY=minio.secret_key)
    world.secrets.put("team", "signer", AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="planted-wrong")
    with pytest.raises(CredentialsError, match=r"spec\.signedURL\.credentials") as raised:
        await world.pool.open(location)
    assert "planted-wrong" not in str(raised.value)
    world.secrets.put(
        "team", "signer", version=2, AWS_ACCESS_KEY_ID=minio.access_key, AWS_SECRET_ACCESS_KEY=minio.secret_key
    )
    world.secrets.put("team", "key", version=2, AWS_ACCESS_KEY_ID="main", AWS_SECRET_ACCESS_KEY="planted-wrong")
    with pytest.raises(CredentialsError) as refused:
        await world.pool.open(location)
    assert "spec.signedURL" not in refused.value.message


@asynccontextmanager
async def tls_backend(authority: Authority) -> AsyncIterator[str]:
    """An S3 endpoint by TLS that knows no bucket; its certificate is the authority's."""
    pair = authority.issue_server("backend")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    body = b"<Error><Code>NoSuchBucket</Code></Error>"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 404 Not Found\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_bundle_makes_a_private_ca_trusted_and_nothing_else_does(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path, now=utc_now()), Authority(tmp_path / "other", now=utc_now())
    async with tls_backend(authority) as url:
        spec = {"s3": {"endpoint": url}, "credentials": {"anonymous": {}}}
        bundle = {"caBundle": {"secretRef": {"name": "tls", "key": "root.pem"}}}
        with pytest.raises(BackendUnreachableError):
            await world.pool.open(snapshot("StowLocation", "bare", spec=spec))
        world.secrets.put("team", "tls", **{"root.pem": other.path.read_text()})
        private = snapshot("StowLocation", "private", spec={**spec, **bundle})
        with pytest.raises(BackendUnreachableError):
            await world.pool.open(private)
        world.secrets.put("team", "tls", version=2, **{"root.pem": authority.path.read_text()})
        assert (await world.pool.open(private)).problem is None


async def test_certificates_that_the_tls_library_refuses_are_a_wrong_bundle(world: World) -> None:
    world.secrets.put("team", "tls", **{"ca.crt": "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"})
    spec = {"s3": {"region": "eu-west-1"}, "credentials": {"anonymous": {}}, "caBundle": {"secretRef": {"name": "tls"}}}
    with pytest.raises(CABundleInvalidError):
        await world.pool.open(snapshot("StowLocation", "broken", spec=spec))


SDKS = ("boto3", "botocore", "google.auth", "google.cloud", "azure", "swiftclient", "keystoneauth1", "requests")
OWN_SDKS = {
    "S3Spec(None, 'eu-west-1')": {"boto3", "botocore"},
    "GoogleSpec(None, None, None)": {"google.auth", "google.cloud", "requests"},
    "AzureSpec('stowtest', None)": {"azure", "requests"},  # msal brings the latter
    "SwiftSpec('https://swift.example/auth/v1.0')": {"swiftclient", "keystoneauth1", "requests"},
}


@pytest.mark.parametrize("spec", [None, *OWN_SDKS])
def test_an_sdk_is_imported_with_the_first_location_of_its_kind(spec: str | None) -> None:
    """Start time and memory of a process with one kind are not to pay for all."""
    code = f"""
import sys
import stow.kube.factories as factories
from stow.api.backend import *
from stow.api.principal import AnonymousCredentials
from stow.kube.plans import RemotePlan
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.egress import EgressPolicy

made = factories.driver_factories(clock=utc_now, keyring=None, egress=EgressPolicy(), budget=ByteBudget(1))
spec = {spec}
if spec is not None:
    made[spec.member](RemotePlan(spec, AnonymousCredentials()))
print(*(name for name in {SDKS!r} if name in sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stderr
    assert set(found.stdout.split()) <= OWN_SDKS.get(spec or "", set())


async def test_clients_that_trust_the_same_share_what_that_costs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A company's locations all have one bundle, and each context holds every public authority."""
    made = []
    create = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(create()) or made[-1])
    factories = driver_factories(clock=utc_now, keyring=lambda: None, egress=EgressPolicy(), budget=ByteBudget(1))  # type: ignore[arg-type,return-value]  # nothing local is built
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    bundles = [Authority(tmp_path / name, now=utc_now()).path.read_bytes() for name in ("one", "other")]
    for pem in (None, None, *bundles, *bundles):
        plan = RemotePlan(S3Spec(None, "eu-west-1"), AnonymousCredentials(), ca_pem=pem)
        await factories["s3"](plan).aclose()
    assert len(made) == 3


async def test_many_locations_are_built_side_by_side(world: World) -> None:
    locations = [snapshot("StowLocation", f"disk-{at}", spec={"local": {"path": f"data-{at}"}}) for at in range(20)]
    opened = await asyncio.gather(*(world.pool.open(each) for each in locations))
    assert len({each.store.identity for each in opened}) == 20
