"""Which account a token leads to: one identity for one account, however the configuration spells it, and none that changes later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drivers.swift.setup import PROJECT, Cloud, catalog, endpoint, stub_driver
from servers.stub import serve
from stow.drivers.swift.config import ApplicationCredential
from stow.errors import CredentialsInvalidError

SPELLINGS: tuple[dict[str, Any], ...] = (
    {"project_id": PROJECT},
    {"project_id": PROJECT, "region": "One"},
    {"project_id": PROJECT, "region": "One", "interface": "internal"},
    {"project_id": None, "project_name": "team"},
    {"project_id": None, "project_name": "team", "region": "One"},
    {"credentials": ApplicationCredential("i", "s"), "project_id": None, "project_name": "team"},
)


async def test_one_account_has_one_identity_however_it_is_spelled() -> None:
    """Otherwise two objects could own one container, and a project that is named anew would stall all of its containers."""
    cloud = Cloud()
    async with serve(cloud) as stub:
        cloud.catalog = catalog(
            endpoint(f"{stub.endpoint}/v1/one"), endpoint(f"{stub.endpoint}/v1/inside", interface="internal")
        )
        found = set()
        for spelling in SPELLINGS:
            driver = stub_driver(stub.endpoint, **spelling)
            await driver.probe(None)
            found.add(driver.identity)
            await driver.aclose()
        host = stub.endpoint.removeprefix("http://")
    assert found == {f"sw://{host}/One/projects/{PROJECT}"}


async def test_another_region_is_another_account() -> None:
    cloud = Cloud()
    async with serve(cloud) as stub:
        cloud.catalog = catalog(endpoint(f"{stub.endpoint}/v1/one"), endpoint(f"{stub.endpoint}/v1/two", region="Two"))
        driver = stub_driver(stub.endpoint, region="Two")
        await driver.probe(None)
        assert driver.identity.endswith(f"/Two/projects/{PROJECT}")
        await driver.aclose()


async def test_a_catalog_without_regions_is_read() -> None:
    cloud = Cloud()
    async with serve(cloud) as stub:
        place = endpoint(f"{stub.endpoint}/v1/one")
        cloud.catalog = catalog({**place, "region": None, "region_id": None})
        driver = stub_driver(stub.endpoint)
        await driver.probe(None)
        assert driver.identity.endswith(f"/-/projects/{PROJECT}")
        await driver.aclose()


async def test_a_later_token_leads_to_no_other_account() -> None:
    """A region that comes to stand before ours in the catalog has containers of the same names."""
    now = [datetime(2026, 11, 23, tzinfo=UTC)]
    cloud = Cloud(life=timedelta(seconds=8), clock=lambda: now[0])
    async with serve(cloud) as stub:
        one, zero = endpoint(f"{stub.endpoint}/v1/one"), endpoint(f"{stub.endpoint}/v1/zero", region="Zero")
        cloud.catalog = catalog(one)
        driver = stub_driver(stub.endpoint, clock=lambda: now[0])
        await driver.probe(None)
        before = driver.identity
        cloud.catalog = catalog(zero, one)
        now[0] += timedelta(seconds=9)
        for _ in range(2):
            with pytest.raises(CredentialsInvalidError, match="another project or region"):
                await driver.delete_container("c")
        assert driver.identity == before
        cloud.catalog = catalog(one)
        now[0] += timedelta(seconds=1)
        await driver.delete_container("c")
        await driver.aclose()
    assert not any(seen.target.startswith("/v1/zero") for seen in stub.requests)
