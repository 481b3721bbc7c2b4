"""StorePool: when a store is built, kept, swapped and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fakes.kube import FakeClock, FakeSecrets, settle, snapshot
from stow.api.credentials.s3 import S3AccessKey
from stow.dev.certificates import Authority
from stow.drivers.memory import MemoryBackend, MemoryDriver
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    BackendTimeoutError,
    BackendUnreachableError,
    CABundleInvalidError,
    CABundleMissingError,
    ContainerNotAllowedError,
    ControlPlaneError,
    CredentialsInvalidError,
    CredentialsMissingError,
    EndpointForbiddenError,
    InvalidSpecError,
    StowError,
)
from stow.kube.cache import ObjectCache
from stow.kube.identities import Identity
from stow.kube.plans import DriverPlan, PlanSettings, RemotePlan
from stow.kube.stores import MAX_RETIRED, PoolParts, PoolSettings, StorePool
from stow.reconcile.objects import Snapshot
from stow.storage.driver import Capabilities, SignRequest
from stow.storage.metrics import StoreMetrics
from stow.storage.model import LocationID, Marker, Method, Origin, Scope, SignedURL, SignedURLProperties
from stow.storage.store import StowStore


class WatchedDriver(MemoryDriver):
    """A memory driver whose probe can fail, hang, and whose end is seen."""

    def __init__(self, world: World, plan: RemotePlan) -> None:
        super().__init__(clock=world.clock, identity=f"mem://{plan.spec.endpoint}", backend=world.backend)
        self.world = world
        self.plan = plan
        self.closed = 0

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, sign_methods=frozenset(Method))

    async def sign(self, request: SignRequest) -> SignedURL:
        assert isinstance(self.plan.credentials, S3AccessKey)
        signer = self.plan.credentials.access_key_id
        return SignedURL(f"{self.plan.presign_endpoint}/{signer}", request.method, request.expires_at, {})

    async def probe(self, container: str | None) -> None:
        self.world.probes += 1
        if self.world.gate is not None:
            await self.world.gate.wait()
        error = self.world.probe_errors.get(self.plan.credentials) or self.world.probe_error
        if error is not None:
            raise error

    async def aclose(self) -> None:
        self.closed += 1


class World:
    """A pool on fakes: the Secret `key`, a resolver, drivers that are watched."""

    def __init__(self, settings: PoolSettings | None = None) -> None:
        self.clock = FakeClock()
        self.secrets = FakeSecrets()
        self.secrets.put("team", "key", AWS_ACCESS_KEY_ID="AKIA1", AWS_SECRET_ACCESS_KEY="one")
        self.backend = MemoryBackend()
        self.built: list[WatchedDriver] = []
        self.plans: list[RemotePlan] = []
        self.probes = 0
        self.probe_error: StowError | None = None
        self.probe_errors: dict[Identity, StowError] = {}
        """By the credentials that are refused."""
        self.factory_error: Exception | None = None
        self.fails_at = 0
        """Which driver cannot be built, counted from 1."""
        self.gate: asyncio.Event | None = None
        self.addresses: Sequence[str] | OSError = ("203.0.113.7",)
        self.resolved: list[str] = []
        self.cache = ObjectCache()
        self.cursor_key = b"c" * 32
        parts = PoolParts(
            objects=self.cache,
            secrets=self.secrets,
            factories={"s3": self.factory},
            metrics=StoreMetrics(CollectorRegistry()),
            clock=self.clock,
            cursor_key=lambda: self.cursor_key,
            resolve=self.resolve,
        )
        self.pool = StorePool(parts, PlanSettings(namespace="stow-system"), settings)

    def factory(self, plan: DriverPlan) -> WatchedDriver:
        assert isinstance(plan, RemotePlan)
        self.plans.append(plan)
        if self.factory_error is not None or self.fails_at == len(self.plans):
            raise self.factory_error or CredentialsInvalidError("The key makes no sense.")
        driver = WatchedDriver(self, plan)
        self.built.append(driver)
        return driver

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.resolved.append(host)
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return self.addresses

    def put_signer(self, version: int, key_id: str) -> None:
        self.secrets.put("team", "signer", version=version, AWS_ACCESS_KEY_ID=key_id, AWS_SECRET_ACCESS_KEY="s")

    def rotate_secret(self, secret: str = "two") -> None:
        self.secrets.put("team", "key", version=2, AWS_ACCESS_KEY_ID="AKIA2", AWS_SECRET_ACCESS_KEY=secret)


def location(*, generation: int = 1, uid: str = "loc", **spec: Any) -> Snapshot:
    whole = {
        "s3": {"endpoint": "https://s3.example.com"},
        "credentials": {"secretRef": {"name": "key"}},
        **spec,
    }
    return snapshot("StowLocation", "main", uid=uid, generation=generation, spec=whole)


async def test_one_store_serves_every_call_until_something_changes() -> None:
    world = World()
    first = await world.pool.open(location())
    second = await world.pool.open(location())
    assert first.store is second.store
    assert first.problem is None
    assert (len(world.built), world.probes) == (1, 1)


async def test_concurrent_callers_share_one_build() -> None:
    world = World()
    world.gate = asyncio.Event()
    callers = [asyncio.create_task(world.pool.open(location())) for _ in range(20)]
    await settle()
    world.gate.set()
    opened = await asyncio.gather(*callers)
    assert len({id(each.store) for each in opened}) == 1
    assert len(world.built) == 1


async def test_a_caller_that_goes_away_does_not_end_the_build_of_the_others() -> None:
    world = World()
    world.gate = asyncio.Event()
    leaving = asyncio.create_task(world.pool.open(location()))
    staying = asyncio.create_task(world.pool.open(location()))
    await settle()
    leaving.cancel()
    await settle()
    world.gate.set()
    assert (await staying).problem is None
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert len(world.built) == 1


async def test_a_changed_secret_is_in_use_after_its_probe_and_the_old_client_stays_open_for_its_users() -> None:
    world = World()
    old = (await world.pool.open(location())).store
    world.rotate_secret()
    new = (await world.pool.open(location())).store
    assert new is not old
    assert world.plans[1].credentials == S3AccessKey("AKIA2", "two")
    assert world.pool.last_good(location().ref) is new
    await world.clock.advance(14 * 60)
    world.pool.sweep()
    await settle()
    assert world.built[0].closed == 0
    await world.clock.advance(2 * 60)
    world.pool.sweep()
    await settle()
    assert [driver.closed for driver in world.built] == [1, 0]


async def test_a_secret_whose_data_is_the_same_costs_no_new_client() -> None:
    world = World()
    old = (await world.pool.open(location())).store
    world.secrets.put("team", "key", version=7, AWS_ACCESS_KEY_ID="AKIA1", AWS_SECRET_ACCESS_KEY="one")
    assert (await world.pool.open(location())).store is old
    assert len(world.built) == 1


async def test_a_bad_new_secret_keeps_the_last_good_store_and_says_why() -> None:
    world = World()
    good = (await world.pool.open(location())).store
    world.rotate_secret()
    world.probe_error = AccessDeniedError("refused")
    opened = await world.pool.open(location())
    assert opened.store is good
    assert isinstance(opened.problem, AccessDeniedError)
    await settle()
    assert [driver.closed for driver in world.built] == [0, 1]


async def test_a_failed_build_is_tried_again_only_after_a_pause_that_grows() -> None:
    world = World()
    world.probe_error = BackendUnreachableError("down")
    tries = []
    for _ in range(60):
        with pytest.raises(BackendUnreachableError):
            await world.pool.open(location())
        tries.append(world.probes)
        await world.clock.advance(1)
    assert world.probes == 5  # at 0, 2, 6, 14 and 30 s; the next would be at 60 s
    world.probe_error = None
    await world.clock.advance(30)
    assert (await world.pool.open(location())).problem is None


async def test_a_pause_ends_at_once_when_the_secret_is_put_right() -> None:
    world = World()
    world.probe_error = AccessDeniedError("refused")
    with pytest.raises(AccessDeniedError):
        await world.pool.open(location())
    world.probe_error = None
    world.rotate_secret()
    assert (await world.pool.open(location())).problem is None


async def test_each_caller_gets_an_error_of_its_own() -> None:
    """StowStore notes on an error where it happened; a shared one would mix two requests."""
    world = World()
    world.probe_error = BackendUnreachableError("down")
    with pytest.raises(BackendUnreachableError) as first:
        await world.pool.open(location())
    first.value.locate(operation="read", key="somebody's")
    with pytest.raises(BackendUnreachableError) as second:
        await world.pool.open(location())
    assert second.value is not first.value
    assert second.value.key is None


async def test_a_secret_that_is_gone_keeps_the_last_good_store() -> None:
    world = World()
    good = (await world.pool.open(location())).store
    del world.secrets.found[("team", "key")]
    opened = await world.pool.open(location())
    assert opened.store is good
    assert isinstance(opened.problem, CredentialsMissingError)


async def test_a_changed_bundle_is_in_use_and_a_bad_one_keeps_the_last_good_store(tmp_path: Path) -> None:
    world = World()
    bundled = location(caBundle={"configMapRef": {"name": "ca"}})
    with pytest.raises(CABundleMissingError):
        await world.pool.open(bundled)
    pem = Authority(tmp_path, now=world.clock.now).path.read_bytes()
    world.secrets.put_config_map("team", "ca", {"ca.crt": pem})
    good = (await world.pool.open(bundled)).store
    assert world.plans[-1].ca_pem == pem
    world.secrets.put_config_map("team", "ca", {"ca.crt": b"no certificate"}, version=2)
    opened = await world.pool.open(bundled)
    assert opened.store is good
    assert isinstance(opened.problem, CABundleInvalidError)
    del world.secrets.config_maps[("team", "ca")]
    opened = await world.pool.open(bundled)
    assert opened.store is good
    assert isinstance(opened.problem, CABundleMissingError)
    world.secrets.put_config_map("team", "ca", {"ca.crt": pem + pem}, version=3)
    opened = await world.pool.open(bundled)
    assert opened.store is not good
    assert opened.problem is None


SIGNING = {
    "baseContainer": {"name": "base-data"},
    "signedURL": {"endpoint": "https://public.example.com", "credentials": {"secretRef": {"name": "signer"}}},
}


async def signed_by(store: StowStore) -> str:
    """The base of a signed URL, and whose it is."""
    asked = SignedURLProperties(Method.GET)
    return (await store.create_signed_url(store.reference("base-data", "k"), asked, scope=Scope("team"))).url


async def test_own_signing_credentials_sign_and_those_of_the_location_never_do() -> None:
    world = World()
    world.put_signer(1, "AKIASIGNER")
    store = (await world.pool.open(location(**SIGNING))).store
    await store.create_container("base-data")
    assert await signed_by(store) == "https://public.example.com/AKIASIGNER"
    main, signer = world.plans
    assert (main.credentials, main.presign_endpoint) == (S3AccessKey("AKIA1", "one"), None)
    assert main.spec == signer.spec
    assert store.get_location(LocationID.MAIN) is world.built[0]
    assert store.get_location(LocationID.SIGNED_URL) is world.built[1]


async def test_without_them_the_location_signs_itself() -> None:
    world = World()
    spec = {**SIGNING, "signedURL": {"endpoint": "https://public.example.com"}}
    store = (await world.pool.open(location(**spec))).store
    await store.create_container("base-data")
    assert await signed_by(store) == "https://public.example.com/AKIA1"
    assert len(world.built) == 1


@pytest.mark.parametrize("rotated", ["key", "signer"])
async def test_either_secret_that_changes_is_in_use_and_both_old_clients_end(rotated: str) -> None:
    world = World()
    world.put_signer(1, "AKIASIGNER")
    old = (await world.pool.open(location(**SIGNING))).store
    await old.create_container("base-data")
    if rotated == "key":
        world.rotate_secret()
    else:
        world.put_signer(2, "AKIASIGNER2")
    new = (await world.pool.open(location(**SIGNING))).store
    assert new is not old
    assert await signed_by(new) == f"https://public.example.com/AKIASIGNER{'2' if rotated == 'signer' else ''}"
    assert [plan.credentials for plan in world.plans[2:]] == [
        S3AccessKey("AKIA2", "two") if rotated == "key" else S3AccessKey("AKIA1", "one"),
        S3AccessKey("AKIASIGNER2" if rotated == "signer" else "AKIASIGNER", "s"),
    ]
    await world.clock.advance(16 * 60)
    world.pool.sweep()
    await settle()
    assert [driver.closed for driver in world.built] == [1, 1, 0, 0]


async def test_a_signer_that_goes_wrong_is_named_and_the_last_good_store_stays() -> None:
    world = World()
    with pytest.raises(CredentialsMissingError, match=r"signer, which spec\.signedURL\.credentials\.secretRef names"):
        await world.pool.open(location(**SIGNING))
    world.put_signer(1, "AKIASIGNER")
    good = (await world.pool.open(location(**SIGNING))).store
    world.secrets.put("team", "signer", version=2, AWS_ACCESS_KEY_ID="AKIA")
    opened = await world.pool.open(location(**SIGNING))
    assert opened.store is good
    assert isinstance(opened.problem, CredentialsInvalidError)
    assert "spec.signedURL.credentials" in opened.problem.message
    world.put_signer(3, "AKIAREFUSED")
    world.probe_errors[S3AccessKey("AKIAREFUSED", "s")] = AccessDeniedError("Refused.")
    opened = await world.pool.open(location(**SIGNING))
    assert opened.store is good
    assert isinstance(opened.problem, AccessDeniedError)
    assert opened.problem.message == "With spec.signedURL.credentials: Refused."
    await settle()
    assert [driver.closed for driver in world.built] == [0, 0, 1, 1]


async def test_credentials_of_the_location_that_are_refused_are_not_taken_for_the_signer_s() -> None:
    world = World()
    world.put_signer(1, "AKIASIGNER")
    world.probe_errors[S3AccessKey("AKIA1", "one")] = AccessDeniedError("Refused.")
    with pytest.raises(AccessDeniedError) as raised:
        await world.pool.open(location(**SIGNING))
    assert raised.value.message == "Refused."


async def test_a_signer_that_cannot_be_built_leaves_no_client_open() -> None:
    world = World()
    world.put_signer(1, "AKIASIGNER")
    world.fails_at = 2
    with pytest.raises(CredentialsInvalidError, match=r"spec\.signedURL\.credentials"):
        await world.pool.open(location(**SIGNING))
    await settle()
    assert [driver.closed for driver in world.built] == [1]


async def test_a_secret_that_cannot_be_read_is_not_a_missing_one() -> None:
    world = World()
    world.secrets.found[("team", "key")] = ControlPlaneError("The API server answered 403 to GET secrets.", status=403)
    with pytest.raises(ControlPlaneError):
        await world.pool.open(location())
    assert world.built == []


async def test_new_rules_hold_at_once_on_the_same_client() -> None:
    world = World()
    opened = await world.pool.open(location(signedURL={"methods": ["GET", "PUT"]}))
    again = await world.pool.open(location(generation=2, signedURL={"methods": ["GET"]}, limits={"maxReadBytes": 5}))
    assert again.store is opened.store
    assert again.store.config.sign_methods == {Method.GET}
    assert again.store.config.max_read_bytes == 5
    assert len(world.built) == 1


async def test_new_rules_hold_at_once_also_where_the_new_client_fails() -> None:
    """A broken change never keeps an old permission."""
    world = World()
    before = location(dynamicContainers={"enabled": True}, signedURL={"methods": ["PUT"]})
    store = (await world.pool.open(before)).store
    world.probe_error = BackendUnreachableError("down")
    opened = await world.pool.open(location(generation=2, s3={"endpoint": "https://elsewhere.example.com"}))
    assert opened.store is store
    assert opened.problem is not None
    assert store.config.sign_methods == {Method.GET}
    with pytest.raises(ContainerNotAllowedError):
        await store.get_container("any", scope=Scope("team"))


async def test_an_older_snapshot_does_not_bring_the_old_client_back() -> None:
    world = World()
    await world.pool.open(location())
    new = await world.pool.open(location(generation=2, s3={"endpoint": "https://elsewhere.example.com"}))
    assert (await world.pool.open(location())).store is new.store
    assert len(world.built) == 2


async def test_a_change_during_a_build_is_built_next_and_everybody_gets_the_newest() -> None:
    world = World()
    world.gate = asyncio.Event()
    first = asyncio.create_task(world.pool.open(location()))
    await settle()
    second = asyncio.create_task(
        world.pool.open(location(generation=2, s3={"endpoint": "https://elsewhere.example.com"}))
    )
    await settle()
    assert len(world.built) == 1
    world.gate.set()
    assert (await first).store is (await second).store
    assert (await first).store.identity == "mem://https://elsewhere.example.com"


async def test_rules_that_change_during_a_build_hold_from_its_first_moment() -> None:
    world = World()
    world.gate = asyncio.Event()
    first = asyncio.create_task(world.pool.open(location(signedURL={"methods": ["PUT"]})))
    await settle()
    second = asyncio.create_task(world.pool.open(location(generation=2)))
    await settle()
    world.gate.set()
    for opened in (await first, await second):
        assert opened.store.config.sign_methods == {Method.GET}
    assert len(world.built) == 1


async def test_new_cursor_keys_are_in_use_at_once() -> None:
    """Else a listing that began at one replica could not go on at another."""
    world = World()
    old = (await world.pool.open(location())).store
    world.cursor_key = b"d" * 32
    assert (await world.pool.open(location())).store is not old


async def test_a_namesake_with_another_uid_begins_anew() -> None:
    world = World()
    old = (await world.pool.open(location(uid="first"))).store
    world.probe_error = BackendUnreachableError("down")
    with pytest.raises(BackendUnreachableError):
        await world.pool.open(location(uid="second"))
    assert world.pool.last_good(location().ref) is None
    assert old.config.uid == "first"


async def test_the_map_goes_over_to_a_new_client_of_the_same_backend_and_to_no_other() -> None:
    world = World()
    marker = Marker("install", "team", "photos", "uid-of-photos")
    store = (await world.pool.open(location())).store
    entry = await store.create_container("photos", marker=marker)
    world.rotate_secret()
    same = (await world.pool.open(location())).store
    assert same is not store
    assert same.containers.get("photos") == entry
    other = (await world.pool.open(location(generation=2, s3={"endpoint": "https://elsewhere.example.com"}))).store
    assert other.containers.get("photos") is None


async def test_a_base_container_comes_in_with_a_new_store() -> None:
    world = World()
    await world.pool.open(location())
    opened = await world.pool.open(location(generation=2, baseContainer={"name": "base-data"}))
    found = opened.store.containers.get("base-data")
    assert found is not None
    assert found.origin is Origin.BASE


async def test_a_request_is_not_held_up_by_a_new_client_that_hangs() -> None:
    world = World(PoolSettings(wait_for_rebuild=False))
    good = (await world.pool.open(location())).store
    world.gate = asyncio.Event()
    world.rotate_secret()
    opened = await world.pool.open(location())
    assert opened.store is good
    world.gate.set()
    await settle()
    assert (await world.pool.open(location())).store is not good


@pytest.mark.parametrize("change", ["secret", "spec"])
async def test_the_first_request_after_a_change_meets_the_new_client(change: str) -> None:
    world = World(PoolSettings(wait_for_rebuild=False))
    world.cache.apply(location())
    old = (await world.pool.open(location())).store
    sweeping = asyncio.create_task(world.pool.run(sleep=world.clock.sleep))
    await world.clock.advance(5)
    assert len(world.built) == 1
    if change == "secret":
        world.rotate_secret()
        now = location()
    else:
        now = location(generation=2, s3={"endpoint": "https://elsewhere.example.com"})
        world.cache.apply(replace(now, resource_version="2"))
    await world.clock.advance(5)
    assert len(world.built) == 2
    assert (await world.pool.open(now)).store is not old
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping


async def test_a_changed_secret_that_fails_is_tried_again_without_a_request_and_the_old_client_serves() -> None:
    world = World(PoolSettings(wait_for_rebuild=False))
    world.cache.apply(location())
    old = (await world.pool.open(location())).store
    world.rotate_secret()
    world.probe_error = AccessDeniedError("denied")
    await world.pool.renew()
    await settle()
    opened = await world.pool.open(location())
    assert opened.store is old
    assert isinstance(opened.problem, AccessDeniedError)
    world.probe_error = None
    await world.clock.advance(30)
    await world.pool.renew()
    await settle()
    opened = await world.pool.open(location())
    assert opened.store is not old
    assert opened.problem is None


async def test_a_client_that_nobody_has_asked_for_is_not_built() -> None:
    world = World(PoolSettings(wait_for_rebuild=False))
    world.cache.apply(location())
    await world.pool.renew()
    assert world.built == []


async def test_a_probe_that_hangs_ends_at_its_deadline() -> None:
    world = World(PoolSettings(build_timeout_s=0.05))
    world.gate = asyncio.Event()
    with pytest.raises(BackendTimeoutError):
        await world.pool.open(location())
    await settle()
    assert world.built[0].closed == 1


async def test_a_forbidden_address_is_refused_before_there_is_a_client() -> None:
    world = World()
    world.addresses = ("203.0.113.7", "169.254.169.254")
    with pytest.raises(EndpointForbiddenError):
        await world.pool.open(location())
    assert world.plans == []


async def test_a_host_that_does_not_resolve_is_unreachable() -> None:
    world = World()
    world.addresses = OSError("no such host")
    with pytest.raises(BackendUnreachableError):
        await world.pool.open(location())


async def test_what_an_sdk_says_in_its_errors_goes_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.factory_error = ValueError("planted-secret-in-an-sdk-error")
    with pytest.raises(BackendFailedError) as raised:
        await world.pool.open(location())
    assert "planted-secret" not in str(raised.value)
    assert "planted-secret" not in caplog.text
    assert "ValueError" in caplog.text


async def test_an_unreadable_spec_keeps_the_last_good_store() -> None:
    world = World()
    with pytest.raises(InvalidSpecError):
        await world.pool.open(location(s3=7))
    good = (await world.pool.open(location())).store
    opened = await world.pool.open(location(generation=2, s3=7))
    assert opened.store is good
    assert isinstance(opened.problem, InvalidSpecError)


async def test_a_closed_location_is_forgotten_at_once_and_its_client_closed_later() -> None:
    world = World()
    await world.pool.open(location())
    await world.pool.close(location().ref)
    assert world.pool.last_good(location().ref) is None
    await settle()
    assert world.built[0].closed == 0
    await world.clock.advance(timedelta(minutes=16).total_seconds())
    world.pool.sweep()
    await settle()
    assert world.built[0].closed == 1


async def test_a_gateway_lets_the_store_of_a_deleted_location_go_and_an_operator_keeps_it() -> None:
    for keep_deleted in (True, False):
        world = World(PoolSettings(keep_deleted=keep_deleted))
        world.cache.apply(location())
        await world.pool.open(location())
        world.pool.sweep()
        assert world.pool.last_good(location().ref) is not None
        world.cache.remove(location().ref)
        world.pool.sweep()
        assert (world.pool.last_good(location().ref) is not None) is keep_deleted


async def test_a_location_that_is_closed_during_its_build_says_so_and_leaks_nothing() -> None:
    world = World()
    world.gate = asyncio.Event()
    opening = asyncio.create_task(world.pool.open(location()))
    await settle()
    await world.pool.close(location().ref)
    world.gate.set()
    with pytest.raises(BackendFailedError):
        await opening
    await world.pool.aclose()
    assert world.built[0].closed == 1


async def test_replaced_clients_are_bounded_whatever_changes() -> None:
    world = World()
    for version in range(MAX_RETIRED + 11):
        world.secrets.put(
            "team", "key", version=version, AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY=f"secret-{version}"
        )
        await world.pool.open(location())
    await settle()
    assert sum(driver.closed for driver in world.built) == 10
    assert len(world.built) - sum(driver.closed for driver in world.built) == MAX_RETIRED + 1


async def test_the_end_of_the_process_closes_everything() -> None:
    world = World()
    await world.pool.open(location())
    world.rotate_secret()
    await world.pool.open(location())
    await world.pool.aclose()
    assert [driver.closed for driver in world.built] == [1, 1]


async def test_who_waits_for_a_build_when_the_process_ends_is_told_and_begins_no_other() -> None:
    world = World()
    world.gate = asyncio.Event()
    waiting = asyncio.create_task(world.pool.open(location()))
    await settle()
    await world.pool.aclose()
    with pytest.raises(BackendFailedError):
        await waiting
    assert [driver.closed for driver in world.built] == [1]


async def test_the_sweeper_closes_what_is_due() -> None:
    world = World(PoolSettings(retire_after=timedelta(seconds=7)))
    await world.pool.open(location())
    sweeping = asyncio.create_task(world.pool.run(sleep=world.clock.sleep))
    await settle()
    world.rotate_secret()
    await world.pool.open(location())
    await world.clock.advance(5)
    assert world.built[0].closed == 0
    await world.clock.advance(5)
    assert world.built[0].closed == 1
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
