"""Damage and secrets: a wrong byte never looks right, and no error tells what it must not."""

from __future__ import annotations

import logging

import pytest

from conformance.clients import read
from conformance.promised.absence import VERBS, outcome
from conformance.promised.write import one
from conformance.table import promise
from conformance.world import World, name
from conformance.wrappers import Reading, flipped, shortened
from stow.errors import BackendError, IntegrityError, StowError
from stow.storage.model import ByteRange, SignedURLProperties
from stow.storage.names import DataReference
from stow.storage.store import StowStore

DATA = bytes(range(256)) * 4000


async def drained(
    store: StowStore, reference: DataReference, seen: list[bytes], *, byte_range: ByteRange | None = None
) -> None:
    """Read to the end; what came out on the way is in ``seen``."""
    async with await store.read_raw(reference, byte_range=byte_range) as stream:
        iterator = aiter(stream)
        while (chunk := await anext(iterator, None)) is not None:
            seen.append(chunk)


@promise("damaged-object-is-never-read-to-its-end")
async def damaged(world: World) -> None:
    """Fault 11: in the original nothing verifies a checksum."""
    await world.client.write("k", DATA)
    reference = world.store.reference(world.container, "k")
    store = world.make_store(Reading(world.driver, flipped))
    seen: list[bytes] = []
    with pytest.raises(IntegrityError):
        await drained(store, reference, seen)
    assert sum(map(len, seen)) < len(DATA)


@promise("shortened-read-is-an-error")
async def cut_by_the_backend(world: World) -> None:
    await world.client.write("k", DATA)
    store = world.make_store(Reading(world.driver, shortened))
    reference = world.store.reference(world.container, "k")
    for byte_range in (None, ByteRange(10, 200_000), ByteRange(suffix=5)):
        with pytest.raises(BackendError):
            await drained(store, reference, [], byte_range=byte_range)


@promise("checksum-covers-streamed-writes")
async def damaged_stream(world: World) -> None:
    await world.client.write("k", one(DATA), size_bytes=None)
    assert (await read(world.client, "k")).data == DATA


def everything_said(error: BaseException) -> str:
    """The texts of an error and of all that it stands on."""
    seen: list[str] = []
    pending: list[BaseException | None] = [error]
    known: set[int] = set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in known:
            continue
        known.add(id(current))
        seen += [str(current), repr(current), *(repr(arg) for arg in current.args), repr(vars(current))]
        pending += [current.__cause__, current.__context__]
    return "\n".join(seen)


class Logged(logging.Handler):
    """Every line of the process, while it is entered: nobody knows who reads the log of a process that is looked into."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def __enter__(self) -> Logged:
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        logging.getLogger().setLevel(self._level)


@promise("errors-tell-no-secret")
async def no_secret(world: World) -> None:
    with Logged() as logged:
        secrets = await provoke_errors(world)
    assert not [line for line in logged.lines if any(secret in line for secret in secrets)]


async def provoke_errors(world: World) -> list[str]:
    """Make every verb fail in every way at hand, look through what is said, and give back what must never be."""
    secrets = list(world.kind.secrets)
    for method in world.capabilities.sign_methods:
        signed = await world.store.create_signed_url(
            world.store.reference(world.container, "k"), SignedURLProperties(scope=method)
        )
        secrets.append(signed.url.partition("?")[2])
    errors: list[StowError] = []
    for driver in (world.driver, world.kind.denied(), world.kind.unreachable()):
        store = world.make_store(driver)
        client = await world.client_over(driver)
        assert not any(secret in repr(driver) + str(driver.identity) for secret in secrets)
        errors += [e for verb in VERBS.values() if (e := await outcome(verb, client)) is not None]
        for call in (
            lambda s=store: s.load_container(name(), create_if_not_found=False),
            lambda s=store: s.delete_container(world.container),
            lambda s=store: s.create_container(world.container),
            lambda s=store: s.probe(),
        ):
            try:
                await call()
            except StowError as error:
                errors.append(error)
    assert len(errors) > 10
    for error in errors:
        said = everything_said(error)
        for secret in secrets:
            assert secret not in said, f"{type(error).__name__} tells a secret"
        assert "://" not in str(error), f"an error's message holds a URL: {error}"
        assert "<?xml" not in said
    return secrets


@promise("errors-say-where")
async def located(world: World) -> None:
    with pytest.raises(StowError) as raised:
        await world.store.read_raw(world.store.reference(world.container, "missing\n"))
    error = raised.value
    assert (error.operation, error.container) == ("read", world.container)
    assert error.key in {"missing\\n", None}
    assert error.code
    assert "\n" not in str(error)


@promise("head-costs-one-call")
async def call_counts(world: World) -> None:
    """One backend call for each operation: nothing is looked up beside it."""
    await world.client.write("k", b"data")
    reference = world.store.reference(world.container, "k")
    for call, expected in (
        (lambda: world.store.head(reference), ["head"]),
        (lambda: world.store.read_raw(reference, byte_range=ByteRange(0, 2)), ["read"]),
        (lambda: world.store.list(world.store.reference(world.container)), ["list"]),
        (lambda: world.store.delete(reference), ["delete"]),
    ):
        world.driver.calls.clear()
        result = await call()
        if hasattr(result, "__aexit__"):
            async with result:
                pass
        assert world.driver.calls == expected
