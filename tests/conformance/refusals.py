"""The other side of capabilities: what is not declared is refused with UnsupportedError, and no call reaches the backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

from conformance.world import World
from conformance.wrappers import Lacking
from stow.errors import UnsupportedError
from stow.storage.model import (
    ContainerSettings,
    CopyOptions,
    Method,
    ResponseOverride,
    SignedURLProperties,
    WriteOptions,
)
from stow.storage.store import StowStore

Call = Callable[[StowStore, str], Awaitable[Any]]


async def _one() -> AsyncIterator[bytes]:
    yield b"x"


def _write(options: WriteOptions) -> Call:
    return lambda store, container: store.write_raw(store.reference(container, "k"), 1, options, _one())


def _copy(options: CopyOptions) -> Call:
    return lambda store, container: store.copy_raw(
        store.reference(container, "from"), store.reference(container, "to"), options
    )


def _sign(method: Method, **bound: Any) -> Call:
    return lambda store, container: store.create_signed_url(
        store.reference(container, "k"), SignedURLProperties(scope=method, **bound)
    )


def _configure(settings: ContainerSettings) -> Call:
    return lambda store, container: store.configure_container(container, settings)


_HEADERS: Final = {"cache-control": "no-store"}
_OVERRIDES: Final = {ResponseOverride.CONTENT_TYPE: "text/csv"}

CALLS: Final[dict[str, tuple[Call, ...]]] = {
    "create_once": (_write(WriteOptions(if_none_match=True)), _copy(CopyOptions(if_none_match=True))),
    "write_if_match": (
        _write(WriteOptions(if_match="*")),
        _write(WriteOptions(if_match="0" * 32)),
        _copy(CopyOptions(if_match="0" * 32)),
    ),
    "delete_if_match": (lambda store, container: store.delete(store.reference(container, "k"), if_match="*"),),
    "markers": (lambda store, container: store.mark_container(container, None),),
    "tags": (
        _configure(ContainerSettings(tags={"team": "a"})),
        _configure(ContainerSettings(tags={})),
        _configure(ContainerSettings(tags={"team": "a"}, versioning=True, expire_after_days=1)),
    ),
    "versioning": tuple(_configure(ContainerSettings(versioning=wanted)) for wanted in (True, False)),
    "expiry_rules": tuple(_configure(ContainerSettings(expire_after_days=days)) for days in (1, 0)),
    "sign_methods": tuple(_sign(method) for method in Method),
    **{f"sign_methods:{method}": (_sign(method),) for method in Method},
    "sign_binds:content-md5": (_sign(Method.PUT, content_md5=bytes(16)),),
    "sign_binds:content-type": (_sign(Method.PUT, content_type="text/csv"),),
    "sign_binds:headers": (_sign(Method.PUT, headers=_HEADERS), _sign(Method.GET, headers={"range": "bytes=0-1"})),
    "sign_binds:response-overrides": (
        _sign(Method.GET, response_overrides=_OVERRIDES),
        _sign(Method.HEAD, response_overrides=_OVERRIDES),
    ),
    "sign_binds:max-size": (_sign(Method.PUT, max_size_bytes=1),),
}
"""By capability (or member of one): every call that depends on it."""


async def is_refused(world: World, capability: str) -> None:
    """With this capability taken away, each of its calls is refused before any I/O."""
    name, _, member = capability.partition(":")
    declared = getattr(world.capabilities, name)
    left: object = False
    if isinstance(declared, frozenset):
        left = declared - {member} if member else frozenset()
    store = world.make_store(Lacking(world.driver, **{name: left}))
    world.driver.calls.clear()
    for call in CALLS[capability]:
        with pytest.raises(UnsupportedError):
            await call(store, world.container)
    assert world.driver.calls == [], capability


def _refusal(capability: str) -> Callable[[World], Awaitable[None]]:
    return lambda world: is_refused(world, capability)


async def claims_no_checksum(world: World) -> None:
    """Without integrity no call depends on anything: an object is read, and nothing is said of its bytes that could be wrong."""
    reference = world.store.reference(world.container, "k")
    await world.store.write_raw(reference, 1, WriteOptions(), _one())
    found = await world.store.head(reference)
    assert (found.size_bytes, found.md5, found.crc32c) == (1, None, None)


REFUSALS: Final = {
    **{capability: _refusal(capability) for capability in CALLS},
    "integrity": claims_no_checksum,
}
"""What is proven instead of a promise whose capability is not declared."""
