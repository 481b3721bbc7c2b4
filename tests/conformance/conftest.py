"""Real: the memory driver, the local driver on a disk, the S3 driver against MinIO (signatures and all) and against moto's server
(AWS's key rules), the Swift driver against OpenStack Swift. On emulators: Azure on Azurite, Google on fake-gcs-server behind a
verifier of signatures, Oracle's dialect on MinIO. Fake: the clock's offset, and backends that deny or do not answer where a server
cannot be made to.
Asserted: every row of `promises.toml` on every kind, through StowStore and through the HTTP object API.

The run ends at collection when the table and the tests do not match.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("conformance")

from collections.abc import AsyncIterator, Callable  # noqa: E402  assertions of helpers are rewritten only before their import

from conformance.http_gateway import ServingGateway, serving_gateway  # noqa: E402
from conformance.kinds import KindBuilder, builders  # noqa: E402
from conformance.world import Kind  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-drivers-table", action="store_true", help="bring the tables of docs/drivers.md up to date"
    )


@pytest.fixture(scope="session")
def seen() -> dict[tuple[str, str, str], str]:
    """What came out, by kind, form and promise: see drivers_page.Seen."""
    return {}


@pytest.fixture(scope="session")
async def opened_kinds() -> AsyncIterator[dict[str, Kind]]:
    """One kind each per session; their drivers are closed at the end."""
    opened: dict[str, Kind] = {}
    yield opened
    for kind in opened.values():
        for driver in (kind.unreachable(), kind.denied(), kind.driver):
            await driver.aclose()
        if kind.aclose is not None:
            await kind.aclose()


@pytest.fixture(scope="session")
async def gateway() -> AsyncIterator[ServingGateway]:
    """The HTTP object API on a loopback port."""
    async with serving_gateway() as serving:
        yield serving


@pytest.fixture
def open_kind(
    request: pytest.FixtureRequest,
    opened_kinds: dict[str, Kind],
    tmp_path_factory: pytest.TempPathFactory,
    gateway: ServingGateway,
) -> Callable[[str], KindBuilder]:
    """`await open_kind("minio")()` is that kind; its server is started by the first test that asks."""

    def choose(kind_name: str) -> KindBuilder:
        build = builders(request, tmp_path_factory, gateway)[kind_name]()

        async def once() -> Kind:
            if kind_name not in opened_kinds:
                opened_kinds[kind_name] = await build()
            return opened_kinds[kind_name]

        return once

    return choose
