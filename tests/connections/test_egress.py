"""Addresses: each connect asks the policy, whatever the name said before, and no redirect leads anywhere."""

from __future__ import annotations

import pytest

from connections.front import Names, front
from connections.kinds import ROWS, Door, Opened, Row
from servers.stub import http, serve
from stow.errors import EndpointForbiddenError, StowError
from stow.transport.connections import Outside

HOST = "backend.example"
METADATA = "169.254.169.253"
"""Link-local, and none of the addresses that a chain of credentials may go to."""
CONNECTING = [row for row in ROWS if row.connects]


def _door(port: int, names: Names) -> Door:
    return Door(f"http://{HOST}:{port}", Outside(resolve=names, jitter=lambda: 0.0))


@pytest.mark.parametrize("row", CONNECTING, ids=str)
async def test_a_name_that_turns_to_a_denied_address_opens_no_socket(row: Row, opened: Opened) -> None:
    names = Names(["127.0.0.1"], [METADATA])
    async with front(opened.address) as server:
        driver = opened.driver(_door(server.port, names))
        await opened.act(driver)
        before = server.connections
        assert before == len(names.asked) == 1
        await server.drop()
        opened.later()
        with pytest.raises(EndpointForbiddenError) as caught:
            await opened.act(driver)
        assert server.connections == before
        assert names.asked == [HOST, HOST]
        assert HOST not in str(caught.value)
        assert METADATA not in str(caught.value)
        await driver.aclose()


@pytest.mark.parametrize(
    "answer", [[METADATA], ["127.0.0.1", METADATA], [METADATA, "127.0.0.1"], ["::ffff:" + METADATA]]
)
@pytest.mark.parametrize("row", CONNECTING, ids=str)
async def test_one_denied_address_is_enough(row: Row, answer: list[str], opened: Opened) -> None:
    async with front(opened.address) as server:
        driver = opened.driver(_door(server.port, Names(answer)))
        with pytest.raises(EndpointForbiddenError):
            await opened.act(driver)
        assert server.connections == 0
        await driver.aclose()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("row", CONNECTING, ids=str)
async def test_a_redirect_to_another_host_is_not_followed(row: Row, status: int, opened: Opened) -> None:
    async with serve(lambda _: http(200)) as elsewhere:
        location = elsewhere.endpoint.replace("127.0.0.1", "elsewhere.example") + "/"
        async with serve(lambda _: http(status, location=location, x_amz_bucket_region="mars-1")) as redirecting:
            names = Names(["127.0.0.1"])
            driver = opened.driver(_door(int(redirecting.endpoint.rpartition(":")[2]), names))
            with pytest.raises(StowError) as caught:
                await opened.act(driver)
            assert redirecting.requests
            assert elsewhere.connections == 0
            assert set(names.asked) == {HOST}
            assert "elsewhere" not in str(caught.value)
            await driver.aclose()


@pytest.mark.parametrize("row", [row for row in ROWS if not row.connects], ids=str)
async def test_a_call_that_needs_no_connection_asks_no_resolver(row: Row, opened: Opened) -> None:
    names = Names(["127.0.0.1"])
    async with front(opened.address) as server:
        driver = opened.driver(_door(server.port, names))
        await opened.act(driver)
        assert (server.connections, names.asked) == (0, [])
        await driver.aclose()
