"""What StowStore makes of a driver's answers: the two meanings of a 404, shared loads, limits, locations and counting.

The driver is the memory driver behind wrappers that answer what a real backend may.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from conformance.wrappers import Counting, Failing, Lacking, Wrapper
from stow.drivers.memory import MemoryDriver
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    BackendUnreachableError,
    ContainerNotAllowedError,
    ContainerNotFoundError,
    ContainerTakenError,
    CredentialsInvalidError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidReferenceError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StowError,
)
from stow.storage.config import StoreConfig
from stow.storage.driver import Capabilities, Driver
from stow.storage.metrics import StoreMetrics
from stow.storage.model import (
    CopyOptions,
    Marker,
    Method,
    ObjectAttributes,
    ObjectMetadata,
    Origin,
    Scope,
    WriteOptions,
)
from stow.storage.names import DataReference
from stow.storage.operations import EXISTENCE_TTL
from stow.storage.store import StowStore, copy_between

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LABELS = {"kind": "memory", "location": "team/main"}
OURS = Marker("installation", "team", "reports", "uid-1", "nonce")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Ambiguous(Wrapper):
    """Says 404 without saying what is missing."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if name not in {"head", "read", "list", "write", "delete", "copy"}:
            return value

        async def vague(*args: Any, **kwargs: Any) -> Any:
            try:
                return await value(*args, **kwargs)
            except NotFoundError as error:
                raise NotFoundError("The object or its container does not exist.") from error

        return vague


class Setup:
    """A store over one memory backend; ``wrap`` changes what stands between."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.memory = MemoryDriver(clock=self.clock)
        self.driver = Counting(self.memory)

    def store(self, wrap: Callable[[Driver], Any] = lambda driver: driver, **config: Any) -> StowStore:
        self.driver = Counting(wrap(self.memory))
        self.registry = CollectorRegistry()
        return StowStore(
            StoreConfig("location-uid", **{"base_container": "base", **config}),
            self.driver,
            clock=self.clock,
            metrics=StoreMetrics(self.registry).bind(kind="memory", location="team/main"),
            cursor_key=b"k" * 32,
        )

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, LABELS | labels)


@pytest.fixture
async def setup() -> Setup:
    made = Setup()
    await made.memory.create_container("base", None)
    return made


ANY = {"dynamic_allowed": lambda _name, _scope: True}


async def outcome(call: Any) -> StowError | None:
    try:
        await call
    except StowError as error:
        return error
    return None


# The two meanings of a 404


async def test_a_vague_404_is_the_object_s_while_the_container_is_there(setup: Setup) -> None:
    store = setup.store(Ambiguous)
    reference = store.reference("base", "k")
    assert not (await store.head(reference)).exists
    await store.delete(reference)
    with pytest.raises(ObjectNotFoundError):
        await store.read_raw(reference)
    assert setup.driver.calls.count("container_exists") == 1


async def test_a_vague_404_is_the_container_s_where_that_is_gone(setup: Setup) -> None:
    await setup.memory.delete_container("base")
    store = setup.store(Ambiguous)
    reference = store.reference("base", "k")
    for call in (
        store.head(reference),
        store.delete(reference),
        store.read_raw(reference),
        store.list(store.reference("base")),
        store.write_raw(reference, 1, WriteOptions(), one(b"x")),
    ):
        error = await outcome(call)
        assert isinstance(error, ContainerNotFoundError)
        assert error.container == "base"


async def test_a_look_for_the_container_is_good_for_five_seconds(setup: Setup) -> None:
    store = setup.store(Ambiguous)
    reference = store.reference("base", "k")
    await store.head(reference)
    setup.clock.now += EXISTENCE_TTL - timedelta(milliseconds=1)
    await store.head(reference)
    assert setup.driver.calls.count("container_exists") == 1
    setup.clock.now += timedelta(milliseconds=1)
    await store.head(reference)
    assert setup.driver.calls.count("container_exists") == 2


@pytest.mark.parametrize("error", [AccessDeniedError("no"), BackendUnreachableError("down")])
async def test_a_look_that_fails_is_the_answer_and_says_where(setup: Setup, error: StowError) -> None:
    class Blind(Ambiguous):
        async def container_exists(self, name: str) -> bool:
            raise error

    store = setup.store(Blind)
    for call in (store.head(store.reference("base", "k")), store.read_raw(store.reference("base", "k"))):
        raised = await outcome(call)
        assert raised is error
        assert (raised.container, raised.key) == ("base", "k")


async def test_a_404_to_a_write_is_a_failure_while_the_container_is_there(setup: Setup) -> None:
    class Confused(Wrapper):
        async def write(self, *args: Any, **kwargs: Any) -> ObjectMetadata:
            raise NotFoundError("404")

    store = setup.store(Confused)
    error = await outcome(store.write_raw(store.reference("base", "k"), 1, WriteOptions(), one(b"x")))
    assert isinstance(error, BackendFailedError)


async def test_a_container_that_vanished_leaves_the_map_unless_it_is_declared(setup: Setup) -> None:
    store = setup.store(**ANY)
    for name, marker in (("dynamic", None), ("declared", OURS)):
        await setup.memory.create_container(name, marker)
        await store.load_container(name, create_if_not_found=False, marker=marker)
        await setup.memory.delete_container(name)
        with pytest.raises(ContainerNotFoundError):
            await store.head(store.reference(name, "k"))
    assert [entry.name for entry in store.containers.all()] == ["base", "declared"]


# Loading


async def test_a_failed_load_is_told_to_all_who_wait_and_tried_again(setup: Setup) -> None:
    gate = asyncio.Event()
    fails = True

    class Slow(Wrapper):
        async def container_exists(self, name: str) -> bool:
            await gate.wait()
            if fails:
                raise BackendUnreachableError("down")
            return await self.inner.container_exists(name)

    await setup.memory.create_container("other", None)
    store = setup.store(Slow, **ANY)
    waiting = [asyncio.create_task(store.get_container("other")) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, BackendUnreachableError) for result in results)
    assert setup.driver.calls.count("container_exists") == 1
    assert setup.sample("stow_bad_container_total") in {0, None}
    fails = False
    assert (await store.get_container("other")).origin is Origin.DYNAMIC


async def test_a_load_that_nobody_waits_for_any_more_fails_quietly(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    class Slow(Wrapper):
        async def container_exists(self, name: str) -> bool:
            reached.set()
            await gate.wait()
            raise BackendUnreachableError("down")

    store = setup.store(Slow, **ANY)
    task = asyncio.create_task(store.get_container("other"))
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
    assert caplog.records == []


async def test_a_container_declared_during_its_dynamic_load_stays_its_owner_s(setup: Setup) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    class Slow(Wrapper):
        async def read_marker(self, name: str) -> Marker | None:
            found = await self.inner.read_marker(name)
            reached.set()
            await gate.wait()
            return found

    await setup.memory.create_container("other", None)
    store = setup.store(Slow, **ANY)
    through_location = asyncio.create_task(store.get_container("other", scope=Scope("team")))
    await reached.wait()
    await store.load_container("other", create_if_not_found=False, marker=OURS)
    gate.set()
    with pytest.raises(ContainerNotAllowedError):
        await through_location
    entry = store.containers.get("other")
    assert entry is not None
    assert (entry.origin, entry.uid) == (Origin.DECLARED, OURS.uid)


async def test_the_rule_for_dynamic_containers_hears_name_and_scope(setup: Setup) -> None:
    asked: list[tuple[str, Scope | None]] = []

    def rule(name: str, scope: Scope | None) -> bool:
        asked.append((name, scope))
        return False

    store = setup.store(dynamic_allowed=rule)
    for scope in (None, Scope("team")):
        with pytest.raises(ContainerNotAllowedError):
            await store.get_container("other", scope=scope)
    assert asked == [("other", None), ("other", Scope("team"))]
    with pytest.raises(ContainerNotAllowedError):
        await store.get_container("other", scope=Scope("team", "uid-1"))
    assert len(asked) == 2, "who asks for one declared container loads no other"
    assert setup.sample("stow_bad_container_total") == 3


async def test_a_container_that_one_namespace_has_loaded_is_no_other_namespace_s(setup: Setup) -> None:
    """The map holds it by now; the rule is asked for each asker all the same, and again after it has changed."""
    await setup.memory.create_container("other", None)
    allowed = {"team-a"}
    store = setup.store(dynamic_allowed=lambda _name, scope: scope is not None and scope.namespace in allowed)

    loaded = await store.get_container("other", scope=Scope("team-a"))
    with pytest.raises(ContainerNotAllowedError):
        await store.get_container("other", scope=Scope("team-b"))
    assert await store.get_container("other", scope=Scope("team-a")) == loaded

    allowed.clear()
    with pytest.raises(ContainerNotAllowedError):
        await store.get_container("other", scope=Scope("team-a"))


# Creating


async def test_a_taken_name_whose_marker_may_not_be_read_is_taken(setup: Setup) -> None:
    class Foreign(Wrapper):
        async def read_marker(self, name: str) -> Marker | None:
            raise AccessDeniedError("The bucket's tags are not yours to read.")

    store = setup.store(Foreign)
    with pytest.raises(ContainerTakenError):
        await store.create_container("base", marker=OURS)


async def test_a_taken_name_whose_owner_cannot_be_asked_is_no_answer(setup: Setup) -> None:
    class Down(Wrapper):
        async def read_marker(self, name: str) -> Marker | None:
            raise BackendUnreachableError("down")

    store = setup.store(Down)
    with pytest.raises(BackendUnreachableError):
        await store.create_container("base", marker=OURS)


async def test_without_markers_every_taken_name_is_somebody_else_s(setup: Setup) -> None:
    store = setup.store(lambda driver: Lacking(driver, markers=False))
    await store.create_container("made", marker=OURS)
    with pytest.raises(ContainerTakenError):
        await store.create_container("made", marker=OURS)
    assert "read_marker" not in setup.driver.calls
    assert "write_marker" not in setup.driver.calls


async def test_a_marker_that_cannot_come_with_the_create_is_written_right_after(setup: Setup) -> None:
    store = setup.store(lambda driver: Lacking(driver, marker_with_create=False))
    await store.create_container("made", marker=OURS)
    assert setup.driver.calls == ["create_container", "write_marker"]


@pytest.mark.parametrize(
    "other",
    [
        Marker("elsewhere", "team", "reports", "uid-1", "nonce"),
        Marker("installation", "team", "reports", "uid-2", "nonce"),
        Marker("installation", "team", "reports", "uid-1", "another"),
    ],
)
async def test_a_marker_that_differs_anywhere_is_not_ours(setup: Setup, other: Marker) -> None:
    await setup.memory.create_container("theirs", other)
    with pytest.raises(ContainerTakenError):
        await setup.store().create_container("theirs", marker=OURS)


# Order of checks and counting


async def test_keys_and_schemes_are_refused_before_the_container_is_looked_at(setup: Setup) -> None:
    store = setup.store(**ANY)
    bad_key, bad_scheme = store.reference("other", "k" * 2000), DataReference("gs", "other", "k")
    for reference, expected in ((bad_key, InvalidKeyError), (bad_scheme, InvalidReferenceError)):
        error = await outcome(store.head(reference))
        assert isinstance(error, expected)
        assert error.operation == "head"
    assert setup.driver.calls == []
    assert setup.sample("stow_bad_key_total") == 2


async def test_failures_are_counted_by_operation_and_type(setup: Setup) -> None:
    store = setup.store(lambda driver: Failing(driver, lambda: BackendUnreachableError("down")))
    await outcome(store.list(store.reference("base")))
    assert setup.sample("stow_failures_total", operation="list", type="backend_unreachable") == 1
    assert setup.sample("stow_list_seconds_count") == 1


async def test_bytes_are_counted_as_they_go_by(setup: Setup) -> None:
    store = setup.store()
    reference = store.reference("base", "k")
    await store.write_raw(reference, 5, WriteOptions(), one(b"12345"))
    async with await store.read_raw(reference) as stream:
        assert [chunk async for chunk in stream] == [b"12345"]
    assert setup.sample("stow_written_bytes_total") == 5
    assert setup.sample("stow_read_bytes_total") == 5


# Copies


async def test_a_copy_that_the_backend_cannot_make_goes_through_this_process(setup: Setup) -> None:
    store = setup.store(lambda driver: Lacking(driver, server_side_copy=False))
    await store.write_raw(store.reference("base", "from"), 4, WriteOptions(), one(b"data"))
    setup.driver.calls.clear()
    await store.copy_raw(store.reference("base", "from"), store.reference("base", "to"), CopyOptions())
    assert setup.driver.calls == ["read", "write"]
    with pytest.raises(PreconditionFailedError):
        await store.copy_raw(
            store.reference("base", "from"), store.reference("base", "to"), CopyOptions(if_none_match=True)
        )


async def test_a_copy_between_stores_ends_its_read_when_the_write_fails(setup: Setup) -> None:
    store = setup.store()
    await store.write_raw(store.reference("base", "from"), 4, WriteOptions(), one(b"data"))
    other = Setup()
    target = other.store()
    with pytest.raises(ContainerNotFoundError):
        await copy_between(
            store, store.reference("base", "from"), target, target.reference("base", "to"), CopyOptions()
        )
    await other.memory.create_container("base", None)
    written = await copy_between(
        store, store.reference("base", "from"), target, target.reference("base", "to"), CopyOptions()
    )
    assert written.size_bytes == 4


# Locations


def signed_by(setup: Setup, signer: Driver) -> StowStore:
    return StowStore(
        StoreConfig("uid", base_container="base"),
        setup.driver,
        clock=setup.clock,
        metrics=StoreMetrics(CollectorRegistry()).bind(kind="memory", location="x"),
        cursor_key=b"k",
        signed_url=signer,
    )


async def test_the_probe_asks_each_backend_once(setup: Setup) -> None:
    store = setup.store()
    await store.probe()
    assert setup.driver.calls == ["probe"]
    second = Counting(setup.memory)
    both = signed_by(setup, second)
    await both.probe()
    assert (setup.driver.calls, second.calls) == (["probe", "probe"], ["probe"])


async def test_credentials_that_only_sign_need_no_right_on_the_base_container(setup: Setup) -> None:
    """They may be allowed to read objects and nothing else; that the backend knows them is what the probe asks."""

    class SignsAlone(Counting):
        async def probe(self, container: str | None) -> None:
            if container is not None:
                raise AccessDeniedError("not allowed to list")

    await signed_by(setup, SignsAlone(setup.memory)).probe()


async def test_a_probe_says_that_it_is_the_signer_who_is_refused(setup: Setup) -> None:
    class Refused(Counting):
        async def probe(self, container: str | None) -> None:
            raise AccessDeniedError("Refused.", status=403)

    with pytest.raises(AccessDeniedError) as raised:
        await signed_by(setup, Refused(setup.memory)).probe()
    assert raised.value.message == "With spec.signedURL.credentials: Refused."
    assert raised.value.status == 403


async def test_a_signer_of_another_account_is_refused(setup: Setup) -> None:
    """The same name would mean somebody else's container there, which no rule of the location has let in."""
    stranger = MemoryDriver(clock=setup.clock, identity="mem://somebody-else")
    with pytest.raises(CredentialsInvalidError, match=r"^With spec\.signedURL\.credentials: .* another account"):
        await signed_by(setup, stranger).probe()


async def test_metadata_beyond_the_drivers_own_limit_is_refused_before_any_call(setup: Setup) -> None:
    class Narrow(Wrapper):
        @property
        def capabilities(self) -> Capabilities:
            return replace(setup.memory.capabilities, max_metadata_bytes=40, metadata_overhead_bytes=10)

    store = setup.store(Narrow)
    source, target = (store.reference("base", key) for key in ("k", "l"))
    fits, over = (ObjectAttributes(metadata={"a": "x" * 9, "b": "x" * length}) for length in (9, 10))
    await store.write_raw(source, 1, WriteOptions(attributes=fits), one(b"x"))
    setup.driver.calls.clear()
    with pytest.raises(InvalidMetadataError, match=r"41 bytes .* 40 are allowed"):
        await store.write_raw(source, 1, WriteOptions(attributes=over), one(b"x"))
    with pytest.raises(InvalidMetadataError, match=r"41 bytes .* 40 are allowed"):
        await store.copy_raw(source, target, CopyOptions(attributes=over))
    assert setup.driver.calls == []


async def test_what_can_be_signed_is_up_to_who_signs(setup: Setup) -> None:
    class Signs(Counting):
        @property
        def capabilities(self) -> Capabilities:
            return replace(
                setup.memory.capabilities, markers=False, sign_methods=frozenset({Method.PUT}), max_signed_expiry_s=7
            )

    found = signed_by(setup, Signs(setup.memory)).capabilities
    assert (found.sign_methods, found.max_signed_expiry_s) == (frozenset({Method.PUT}), 7)
    assert found.markers is setup.memory.capabilities.markers is True


async def test_closing_a_store_ends_its_loads_and_its_drivers(setup: Setup) -> None:
    reached = asyncio.Event()

    class Stuck(Wrapper):
        closed = False

        async def container_exists(self, name: str) -> bool:
            reached.set()
            await asyncio.Event().wait()
            return True

        async def aclose(self) -> None:
            Stuck.closed = True

    store = setup.store(Stuck, **ANY)
    waiting = asyncio.create_task(store.get_container("other"))
    await reached.wait()
    setup.driver.aclose = setup.driver.inner.aclose  # type: ignore[method-assign]  # Counting leaves shared drivers open
    await store.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert Stuck.closed


def test_a_store_without_a_base_container_has_no_fqn() -> None:
    store = Setup().store(base_container=None)
    assert store.base_container_fqn is None
    assert store.containers.all() == ()


def test_a_base_container_with_an_impossible_name_is_refused_at_once() -> None:
    with pytest.raises(StowError):
        Setup().store(base_container="Not A Name")
