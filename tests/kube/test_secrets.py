"""SecretReader and SecretPoller: what is read, how often, and what a failed read changes (nothing)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from fakes.kube import FakeClock, FakeSecrets, refusal, settle, snapshot
from kubehelp import ServiceAccounts
from stow.errors import ControlPlaneError
from stow.kube.cache import ObjectCache
from stow.kube.rest import Requests, collection_path, object_path
from stow.kube.secrets import SecretPoller, SecretReader, referenced_sources
from stow.kube.tokens import request_token
from stow.reconcile.objects import ObjectRef
from stow.reconcile.ports import SecretData

ISSUER = "https://kubernetes.default.svc.cluster.local"
FIRST = ObjectRef("StowLocation", "team", "first")
SECOND = ObjectRef("StowLocation", "team", "second")
KEY = ("team", "key")


def secret(namespace: str, name: str) -> ObjectRef:
    return ObjectRef("Secret", namespace, name)


class World:
    """A poller on fakes; `key` is used by two locations."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.secrets = FakeSecrets()
        self.secrets.put(*KEY, secret="one")
        self.referenced: dict[ObjectRef, set[ObjectRef]] = {secret(*KEY): {FIRST, SECOND}}
        self.woken: list[str] = []
        self.chance: list[tuple[float, float]] = []
        self.poller = SecretPoller(
            self.secrets, lambda: self.referenced, clock=self.clock, sleep=self.clock.sleep, uniform=self.uniform
        )
        self.poller.subscribe(lambda ref: self.woken.append(ref.name))

    def uniform(self, low: float, high: float) -> float:
        self.chance.append((low, high))
        return high

    async def value(self) -> bytes | None:
        found = await self.poller.get(*KEY)
        return found and found.data["secret"]


async def test_askers_get_what_the_last_round_saw_without_a_request() -> None:
    world = World()
    for _ in range(10):
        assert await world.value() == b"one"
    assert world.secrets.asked == [KEY]


async def test_a_round_reads_each_secret_once_however_many_use_it() -> None:
    world = World()
    await world.poller.poll()
    assert world.secrets.asked == [KEY]


async def test_concurrent_askers_share_one_read() -> None:
    world = World()
    await asyncio.gather(*(world.value() for _ in range(20)))
    assert world.secrets.asked == [KEY]


@pytest.mark.parametrize(
    ("version", "uid"), [pytest.param(2, "secret-uid", id="changed"), pytest.param(1, "other", id="made anew")]
)
async def test_a_changed_secret_wakes_every_location_that_uses_it(version: int, uid: str) -> None:
    world = World()
    await world.value()
    await world.poller.poll()
    assert world.woken == []
    world.secrets.put(*KEY, version=version, uid=uid, secret="two")
    await world.poller.poll()
    assert sorted(world.woken) == ["first", "second"]
    assert await world.value() == b"two"


async def test_a_config_map_of_the_same_name_is_another_object() -> None:
    world = World()
    world.referenced[ObjectRef("ConfigMap", *KEY)] = {SECOND}
    world.secrets.put_config_map(*KEY, {"ca.crt": b"one"})
    await world.value()
    await world.poller.config_map(*KEY)
    world.secrets.put_config_map(*KEY, {"ca.crt": b"two"}, version=2)
    await world.poller.poll()
    assert world.woken == ["second"]
    found = await world.poller.config_map(*KEY)
    assert found is not None
    assert found.data == {"ca.crt": b"two"}
    assert await world.value() == b"one"


async def test_a_secret_that_goes_and_comes_wakes_both_times() -> None:
    world = World()
    await world.value()
    kept = world.secrets.found.pop(KEY)
    await world.poller.poll()
    assert sorted(world.woken) == ["first", "second"]
    assert await world.value() is None
    world.secrets.found[KEY] = kept
    await world.poller.poll()
    assert len(world.woken) == 4


@pytest.mark.parametrize("status", [403, 500])
async def test_a_read_that_fails_keeps_what_is_known_and_wakes_nobody(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    await world.value()
    world.secrets.found[KEY] = refusal(status)
    for _ in range(5):
        await world.poller.poll()
    assert await world.value() == b"one"
    assert world.woken == []
    assert caplog.text.count("A Secret cannot be read") == 1


async def test_a_secret_that_was_never_read_is_unknown_and_not_absent() -> None:
    world = World()
    world.secrets.found[KEY] = refusal(403)
    with pytest.raises(ControlPlaneError):
        await world.value()
    world.secrets.put(*KEY, secret="one")
    await world.poller.poll()
    assert sorted(world.woken) == ["first", "second"]
    assert await world.value() == b"one"


async def test_an_absence_is_believed_for_two_seconds_only() -> None:
    """A Secret is often applied right after its location."""
    world = World()
    del world.secrets.found[KEY]
    assert await world.value() is None
    world.secrets.put(*KEY, secret="one")
    await world.clock.advance(1.9)
    assert await world.value() is None
    await world.clock.advance(0.2)
    assert await world.value() == b"one"


async def test_what_nobody_refers_to_any_more_is_forgotten() -> None:
    world = World()
    await world.value()
    world.referenced = {}
    await world.poller.poll()
    await world.value()
    assert world.secrets.asked == [KEY, KEY]


async def test_rounds_come_every_half_minute_give_or_take_a_tenth() -> None:
    world = World()
    rounds = asyncio.create_task(world.poller.run())
    await settle()
    await world.clock.advance(32.9)
    assert world.secrets.asked == []
    await world.clock.advance(0.2)
    assert world.secrets.asked == [KEY]
    await world.clock.advance(33.1)
    assert world.secrets.asked == [KEY, KEY]
    assert {(round(low, 3), round(high, 3)) for low, high in world.chance} == {(0.9, 1.1)}
    rounds.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rounds


async def test_without_rounds_an_old_answer_is_read_anew() -> None:
    world = World()
    await world.value()
    world.secrets.put(*KEY, version=2, secret="two")
    await world.clock.advance(timedelta(minutes=1).total_seconds())
    assert await world.value() == b"two"


async def test_an_asker_that_goes_away_does_not_end_the_read_of_the_others() -> None:
    world = World()
    world.secrets = SlowSecrets(world.secrets)  # type: ignore[assignment]  # the same port
    world.poller = SecretPoller(world.secrets, lambda: world.referenced, clock=world.clock)
    leaving, staying = asyncio.create_task(world.value()), asyncio.create_task(world.value())
    await settle()
    leaving.cancel()
    await settle()
    world.secrets.gate.set()  # type: ignore[attr-defined]  # see above
    assert await staying == b"one"


class SlowSecrets:
    def __init__(self, inner: FakeSecrets) -> None:
        self.inner = inner
        self.gate = asyncio.Event()

    async def get(self, namespace: str, name: str) -> SecretData | None:
        await self.gate.wait()
        return await self.inner.get(namespace, name)

    async def config_map(self, namespace: str, name: str) -> SecretData | None:
        return await self.inner.config_map(namespace, name)


async def test_at_most_eight_reads_are_in_flight() -> None:
    world = World()
    world.referenced = {secret("team", f"key-{at}"): {FIRST} for at in range(50)}
    counting = CountingSecrets()
    await SecretPoller(counting, lambda: world.referenced, clock=world.clock).poll()
    assert (counting.most, counting.total) == (8, 50)


class CountingSecrets:
    def __init__(self) -> None:
        self.now = self.most = self.total = 0

    async def get(self, namespace: str, name: str) -> SecretData | None:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)
        await settle()
        self.now -= 1
        return None

    async def config_map(self, namespace: str, name: str) -> SecretData | None:
        return await self.get(namespace, name)


def test_the_secrets_and_bundles_of_all_readable_locations_are_referenced() -> None:
    cache = ObjectCache()
    s3: dict[str, Any] = {"s3": {"region": "eu-west-1"}}
    cache.apply(snapshot("StowLocation", "one", spec={**s3, "credentials": {"secretRef": {"name": "key"}}}))
    bundle = {"caBundle": {"configMapRef": {"name": "ca"}}}
    cache.apply(snapshot("StowLocation", "two", spec={**s3, **bundle, "credentials": {"secretRef": {"name": "key"}}}))
    cache.apply(snapshot("StowLocation", "three", spec={**s3, "credentials": {"anonymous": {}}}))
    cache.apply(snapshot("StowLocation", "broken", spec={"s3": 7}))
    cluster = snapshot(
        "ClusterStowLocation",
        "big",
        namespace=None,
        spec={**s3, "caBundle": {"configMapRef": {"name": "key"}}, "credentials": {"secretRef": {"name": "key"}}},
    )
    cache.apply(cluster)
    found = referenced_sources(cache, system_namespace="stow-system")
    assert {key: {ref.name for ref in refs} for key, refs in found.items()} == {
        secret("team", "key"): {"one", "two"},
        secret("stow-system", "key"): {"big"},
        ObjectRef("ConfigMap", "team", "ca"): {"two"},
        ObjectRef("ConfigMap", "stow-system", "key"): {"big"},
    }


async def test_a_secret_is_read_by_name_with_the_right_to_get_it_alone(
    request_as_admin: Requests, accounts: ServiceAccounts, namespace: str
) -> None:
    body = {"metadata": {"name": "key"}, "stringData": {"AWS_ACCESS_KEY_ID": "AKIA"}}
    await request_as_admin("POST", collection_path("Secret", namespace), body=body)
    await accounts.make("operator")
    await accounts.allow("operator", [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}])
    issued = await request_token(request_as_admin, namespace=namespace, service_account="operator", audience=ISSUER)
    reader = SecretReader(accounts.connected(issued.token))
    found = await reader.get(namespace, "key")
    assert found is not None
    assert found.data == {"AWS_ACCESS_KEY_ID": b"AKIA"}
    assert "AKIA" not in repr(found)
    assert await reader.get(namespace, "absent") is None


async def test_a_config_map_is_read_with_the_right_to_get_it_alone(
    request_as_admin: Requests, accounts: ServiceAccounts, namespace: str
) -> None:
    body = {"metadata": {"name": "ca"}, "data": {"ca.crt": "text"}, "binaryData": {"other": "AAE="}}
    await request_as_admin("POST", collection_path("ConfigMap", namespace), body=body)
    await accounts.make("operator")
    await accounts.allow("operator", [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}])
    issued = await request_token(request_as_admin, namespace=namespace, service_account="operator", audience=ISSUER)
    reader = SecretReader(accounts.connected(issued.token))
    found = await reader.config_map(namespace, "ca")
    assert found is not None
    assert found.data == {"ca.crt": b"text", "other": b"\0\x01"}
    assert await reader.config_map(namespace, "absent") is None
    await accounts.make("nobody")
    other = await request_token(request_as_admin, namespace=namespace, service_account="nobody", audience=ISSUER)
    with pytest.raises(ControlPlaneError) as raised:
        await SecretReader(accounts.connected(other.token)).config_map(namespace, "ca")
    assert raised.value.status == 403


async def test_a_secret_that_may_not_be_read_is_not_absent_and_its_name_is_not_told(
    request_as_admin: Requests, accounts: ServiceAccounts, namespace: str
) -> None:
    await accounts.make("nobody")
    issued = await request_token(request_as_admin, namespace=namespace, service_account="nobody", audience=ISSUER)
    with pytest.raises(ControlPlaneError) as raised:
        await SecretReader(accounts.connected(issued.token)).get(namespace, "planted-name")
    assert raised.value.status == 403
    assert "planted-name" not in raised.value.message
    assert namespace not in raised.value.message


async def test_a_rotated_secret_of_the_real_api_server_is_noticed_in_the_next_round(
    request_as_admin: Requests, namespace: str
) -> None:
    body = {"metadata": {"name": "key"}, "stringData": {"secret": "one"}}
    await request_as_admin("POST", collection_path("Secret", namespace), body=body)
    location, clock = ObjectRef("StowLocation", namespace, "main"), FakeClock()
    poller = SecretPoller(SecretReader(request_as_admin), lambda: {secret(namespace, "key"): {location}}, clock=clock)
    woken: list[ObjectRef] = []
    poller.subscribe(woken.append)
    await poller.poll()
    await poller.poll()
    assert woken == []
    patch = {"stringData": {"secret": "two"}}
    await request_as_admin("PATCH", object_path("Secret", namespace, "key"), body=patch)
    await poller.poll()
    assert woken == [location]
    found = await poller.get(namespace, "key")
    assert found is not None
    assert found.data["secret"] == b"two"
    await request_as_admin("DELETE", object_path("Secret", namespace, "key"))
    await poller.poll()
    assert woken == [location, location]
    assert await poller.get(namespace, "key") is None
