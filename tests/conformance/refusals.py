"""The other side of capabilities: what is not declared is refused with UnsupportedError, and no call reaches the backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

from conformance.world import World
from conformance.wrappers import Lacking
from stow.errors import UnsupportedError
from stow.storage.model import CopyOptions, Method, SignedURLProperties, WriteOptions
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


def _sign(method: Method) -> Call:
    return lambda store, container: store.create_signed_url(
        store.reference(container, "k"), SignedURLProperties(scope=method)
    )


CALLS: Final[dict[str, tuple[Call, ...]]] = {
    "create_once": (_write(WriteOptions(if_none_match=True)), _copy(CopyOptions(if_none_match=True))),
    "write_if_match": (
        _write(WriteOptions(if_match="*")),
        _write(WriteOptions(if_match="0" * 32)),
        _copy(CopyOptions(if_match="0" * 32)),
    ),
    "delete_if_match": (lambda store, container: store.delete(store.reference(container, "k"), if_match="*"),),
    "markers": (lambda store, container: store.mark_container(container, None),),
    "sign_methods": tuple(_sign(method) for method in Method),
}
"""By capability: every call that depends on it."""


async def is_refused(world: World, capability: str) -> None:
    """With this capability taken away, each of its calls is refused before any I/O."""
    nothing = frozenset() if capability == "sign_methods" else False
    store = world.make_store(Lacking(world.driver, **{capability: nothing}))
    world.driver.calls.clear()
    for call in CALLS[capability]:
        with pytest.raises(UnsupportedError):
            await call(store, world.container)
    assert world.driver.calls == [], capability


def _refusal(capability: str) -> Callable[[World], Awaitable[None]]:
    return lambda world: is_refused(world, capability)


REFUSALS: Final = {capability: _refusal(capability) for capability in CALLS}
