"""Keys: made once, shared, turned over without a moment in which a replica does not know a key, never lost or overwritten."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest

from fakes.kube import START, FakeApi, FakeClock, refusal, settle
from stow.api.location import LONGEST_SIGNED_TTL
from stow.errors import ControlPlaneError, CredentialsInvalidError
from stow.kube.keymaterial import KeyMaterial, decode, encode
from stow.kube.keys import ACTIVATION_DELAY, ROTATE_AFTER, KeyKeeper, Keys, KeySecret, NewKeys
from stow.kube.rest import Requests
from stow.storage.crashpoints import CrashPoint

PATH = "/api/v1/namespaces/stow-system/secrets/stow-operator-keys"


class Process:
    """The keys of one process: the leader's keeper and what it serves with."""

    def __init__(self, request: Requests, clock: FakeClock, *, namespace: str = "stow-system", seed: int = 0) -> None:
        counter = itertools.count(seed)
        self.crashes: list[CrashPoint] = []
        secret = KeySecret(request, namespace=namespace)
        self.keys = Keys(secret, clock=clock, sleep=clock.sleep, uniform=lambda _, high: high)
        new = NewKeys(clock, lambda size: next(counter).to_bytes(size, "big"))
        self.keeper = KeyKeeper(secret, self.keys, new, clock=clock, crash=self.crashes.append, sleep=clock.sleep)

    @property
    def material(self) -> KeyMaterial:
        found = self.keys.material
        assert found is not None
        return found


@pytest.fixture
def fake_api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_the_operator_makes_them_once_and_a_gateway_reads_them(fake_api: FakeApi, clock: FakeClock) -> None:
    operator, gateway = Process(fake_api, clock), Process(fake_api, clock, seed=500)
    assert not await gateway.keys.refresh()
    assert gateway.keys() is None
    assert not gateway.keys.ready
    for _ in range(3):
        await operator.keeper.maintain()
    assert await gateway.keys.refresh()
    assert gateway.keys.cursor_key() == operator.keys.cursor_key()
    assert gateway.keys.keyring() == operator.keys.keyring()
    assert [method for method, _ in fake_api.writes] == ["POST"]
    assert operator.crashes == [CrashPoint.KEYS_GENERATED]


async def test_before_there_are_keys_nothing_is_signed_or_sealed(fake_api: FakeApi, clock: FakeClock) -> None:
    gateway = Process(fake_api, clock)
    with pytest.raises(ControlPlaneError):
        gateway.keys.keyring()
    with pytest.raises(ControlPlaneError):
        gateway.keys.cursor_key()


async def test_two_that_make_them_at_once_end_with_the_same_keys(clock: FakeClock) -> None:
    fake_api = FakeApi()
    one, two = Process(fake_api, clock), Process(fake_api, clock, seed=500)
    await asyncio.gather(one.keeper.maintain(), two.keeper.maintain())
    assert one.material == two.material
    assert len(fake_api.bodies) == 1


async def test_a_process_that_dies_right_after_making_them_loses_nothing(fake_api: FakeApi, clock: FakeClock) -> None:
    class Killed(BaseException):
        pass

    def die(_: CrashPoint) -> None:
        raise Killed

    first = Process(fake_api, clock)
    first.keeper = KeyKeeper(
        KeySecret(fake_api, namespace="stow-system"), first.keys, NewKeys(clock), clock=clock, crash=die
    )
    with pytest.raises(Killed):
        await first.keeper.maintain()
    made = decode(fake_api.objects[PATH]["data"])
    second = Process(fake_api, clock)
    await second.keeper.maintain()
    assert second.material == made
    assert len(fake_api.writes) == 1


async def test_a_new_key_verifies_at_once_and_signs_only_when_every_replica_has_read_it(
    fake_api: FakeApi, clock: FakeClock
) -> None:
    operator = Process(fake_api, clock)
    await operator.keeper.maintain()
    old = operator.keys.keyring().current
    await clock.advance(60)
    await operator.keeper.rotate()
    ring = operator.keys.keyring()
    assert ring.current == old
    assert len(ring.previous) == 1
    assert ring.find(ring.previous[0].kid) is not None
    await clock.advance(ACTIVATION_DELAY.total_seconds())
    turned = operator.keys.keyring()
    assert turned.current == ring.previous[0]
    assert turned.previous == (old,)


async def test_an_old_key_goes_when_its_last_url_has_expired_and_not_before(
    fake_api: FakeApi, clock: FakeClock
) -> None:
    operator = Process(fake_api, clock)
    await operator.keeper.maintain()
    await operator.keeper.rotate()
    last_signature = ACTIVATION_DELAY
    await clock.advance((last_signature + LONGEST_SIGNED_TTL).total_seconds() - 1)
    await operator.keeper.maintain()
    assert len(operator.material.signing) == 2
    await clock.advance(2)
    await operator.keeper.maintain()
    assert len(operator.material.signing) == 1


async def test_the_key_is_turned_over_by_itself_and_nothing_is_written_in_between(
    fake_api: FakeApi, clock: FakeClock
) -> None:
    operator = Process(fake_api, clock)
    await operator.keeper.maintain()
    first = operator.material.signing[0]
    await clock.advance(ROTATE_AFTER.total_seconds() - 1)
    await operator.keeper.maintain()
    assert len(fake_api.writes) == 1
    await clock.advance(1)
    await operator.keeper.maintain()
    await operator.keeper.maintain()
    assert len(fake_api.writes) == 2
    assert operator.material.signing[1] == first


async def test_the_cursor_key_stays_through_a_rotation(fake_api: FakeApi, clock: FakeClock) -> None:
    operator = Process(fake_api, clock)
    await operator.keeper.maintain()
    before = operator.keys.cursor_key()
    await operator.keeper.rotate()
    assert operator.keys.cursor_key() == before


async def test_a_secret_that_somebody_deleted_comes_back_as_it_was(fake_api: FakeApi, clock: FakeClock) -> None:
    operator = Process(fake_api, clock)
    await operator.keeper.maintain()
    before = operator.material
    del fake_api.objects[PATH]
    await operator.keeper.maintain()
    assert operator.material == before
    assert decode(fake_api.objects[PATH]["data"]) == before


async def test_a_gateway_keeps_its_keys_when_the_secret_is_gone_or_cannot_be_read(
    fake_api: FakeApi, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    operator, gateway = Process(fake_api, clock), Process(fake_api, clock)
    await operator.keeper.maintain()
    await gateway.keys.refresh()
    before = gateway.material
    fake_api.fail = refusal(403)
    for _ in range(3):
        assert not await gateway.keys.refresh()
    fake_api.fail = None
    del fake_api.objects[PATH]
    assert not await gateway.keys.refresh()
    assert gateway.material == before
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"keys.json": "!"},
        {"keys.json": "bm90IGpzb24="},
        {"keys.json": "e30="},
        {"keys.json": "W10="},
        {"keys.json": 7},
    ],
)
async def test_what_is_not_understood_is_refused_and_never_overwritten(
    fake_api: FakeApi, clock: FakeClock, data: object
) -> None:
    fake_api.objects[PATH] = {"metadata": {"name": "stow-operator-keys", "resourceVersion": "1"}, "data": data}
    operator = Process(fake_api, clock)
    with pytest.raises(CredentialsInvalidError, match="Delete it"):
        await operator.keeper.maintain()
    assert not await operator.keys.refresh()
    assert fake_api.writes == []


@pytest.mark.parametrize("damage", ["short secret", "same kid", "short cursor", "no zone", "no keys", "other version"])
def test_damaged_keys_are_refused(clock: FakeClock, damage: str) -> None:
    import base64
    import json

    new = NewKeys(clock)
    document = json.loads(base64.b64decode(encode(new.turned_over(new.first()))["keys.json"]))
    keys = document["signingKeys"]
    if damage == "short secret":
        keys[0]["secret"] = base64.b64encode(b"short").decode()
    elif damage == "same kid":
        keys[0]["kid"] = keys[1]["kid"]
    elif damage == "short cursor":
        document["cursorKey"] = "c2hvcnQ="
    elif damage == "no zone":
        keys[0]["createdAt"] = "2030-01-01T00:00:00"
    elif damage == "no keys":
        keys.clear()
    else:
        document["version"] = 2
    with pytest.raises(CredentialsInvalidError) as raised:
        decode({"keys.json": base64.b64encode(json.dumps(document).encode()).decode()})
    assert raised.value.__cause__ is None


def test_keys_survive_their_way_through_the_secret(clock: FakeClock) -> None:
    new = NewKeys(clock)
    material = new.turned_over(new.first())
    assert decode(encode(material)) == material


def test_keys_show_nowhere(clock: FakeClock) -> None:
    material = NewKeys(clock).first()
    for secret in (material.cursor, material.signing[0].secret):
        assert repr(secret) not in repr(material)


async def test_keys_are_looked_for_quickly_until_there_are_some_and_then_every_half_minute(
    fake_api: FakeApi, clock: FakeClock
) -> None:
    gateway, operator = Process(fake_api, clock), Process(fake_api, clock)
    reading = asyncio.create_task(gateway.keys.run())
    await settle()
    await clock.advance(1.2)
    assert len(fake_api.requests) == 2
    await operator.keeper.maintain()
    seen = len(fake_api.requests)
    await clock.advance(1.2)
    assert gateway.keys.ready
    await clock.advance(30)
    assert len(fake_api.requests) == seen + 1
    await clock.advance(4)
    assert len(fake_api.requests) == seen + 2
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_the_keeper_tries_on_and_says_so_once(
    fake_api: FakeApi, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    fake_api.fail = refusal(500)
    operator = Process(fake_api, clock)
    keeping = asyncio.create_task(operator.keeper.run())
    await settle()
    for _ in range(4):
        await clock.advance(2)
    fake_api.fail = None
    await clock.advance(2)
    assert operator.keys.ready
    assert caplog.text.count("cannot be kept") == 1
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_on_the_real_api_server_one_of_two_makers_wins_and_rotations_do_not_overwrite_each_other(
    request_as_admin: Requests, namespace: str, clock: FakeClock
) -> None:
    one = Process(request_as_admin, clock, namespace=namespace)
    two = Process(request_as_admin, clock, namespace=namespace, seed=500)
    await asyncio.gather(one.keeper.maintain(), two.keeper.maintain())
    assert one.material == two.material
    assert len(one.crashes) + len(two.crashes) == 1
    await asyncio.gather(one.keeper.rotate(), two.keeper.rotate())
    await one.keys.refresh()
    assert len(one.material.signing) == 3
    assert one.material.signing[-1].created_at == START
    assert timedelta(0) <= one.material.signing[0].created_at - START <= ACTIVATION_DELAY
