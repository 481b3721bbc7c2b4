"""Drivers against servers that fail, fall silent, lie and send elsewhere.

Real: the drivers, StowStore above them, sockets and TLS, and each kind's server (MinIO, Azurite, OpenStack Swift; fake-gcs-server behind
a front that verifies for it), which has or has not done what it was asked. Fake: the resolver of names (injected), the jitter of
repetitions (0.0), and what stands between driver and server: the proxy of `proxy.py`, which is proven with plain sockets in
`test_proxy.py` before anything is believed of it. Asserted: the error's class, the number of attempts that the proxy saw, what the object
is afterwards (asked at the server, past the proxy), that nobody was redirected, and that no text of a backend got out; in
`test_calls.py` how many requests each operation costs.

A kind is added in `kinds.py`; a fault or an operation in `table.py`. What a kind does otherwise stands beside it with its reason
(`differs`), what it owes as a strict xfail (`owes`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

pytest.register_assert_rewrite("faults.world")

from faults.kind import Kind, Server  # noqa: E402
from faults.kinds import KINDS  # noqa: E402  assertions of helpers are rewritten only before their import
from faults.world import Base  # noqa: E402
from servers.fake_gcs import FakeGcsServer  # noqa: E402
from servers.gcs_front import GcsFront, running_front  # noqa: E402


@pytest.fixture
def kind_name(request: pytest.FixtureRequest) -> str:
    """The kind that a test is parametrized with (indirectly)."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
async def google_front(fake_gcs: FakeGcsServer) -> AsyncIterator[GcsFront]:
    """Google's verification before fake-gcs-server, for as long as a kind's container is shared."""
    async with running_front(fake_gcs.endpoint) as front:
        yield front


@pytest.fixture(scope="session")
async def bases() -> AsyncIterator[dict[str, Base]]:
    """One of each kind and session; they are emptied and closed at the end."""
    opened: dict[str, Base] = {}
    yield opened
    for base in opened.values():
        await base.aclose()


@pytest.fixture
def opened_kind(kind_name: str, request: pytest.FixtureRequest) -> tuple[Kind, Server]:
    """Its server is started by the first test that asks; such fixtures cannot be asked for inside a running loop."""
    kind = KINDS[kind_name]
    return kind, kind.open(request)


@pytest.fixture
async def base(opened_kind: tuple[Kind, Server], bases: dict[str, Base]) -> Base:
    kind, server = opened_kind
    if kind.name not in bases:
        bases[kind.name] = await Base.of(kind, server)
    return bases[kind.name]
