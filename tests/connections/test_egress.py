"""Addresses: each connect asks the policy, whatever the name said before, and no redirect leads anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from connections.certificates import HOST, Certificate, issue, trusting
from connections.front import Names, front
from connections.kinds import ROWS, Door, Opened, Row
from servers.stub import http, serve
from stow.errors import EndpointForbiddenError, StowError
from stow.transport.connections import Outside

METADATA = "169.254.169.253"
"""Link-local, and none of the addresses that a chain of credentials may go to."""
CONNECTING = [row for row in ROWS if row.connects]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Of the front: some calls are made over TLS alone."""
    return issue(tmp_path / "ca")


def _door(port: int, names: Names, certificate: Certificate, opened: Opened) -> Door:
    outside = Outside(resolve=names, jitter=lambda: 0.0)
    return Door(f"https://{HOST}:{port}", outside, trusting(certificate, opened))


@pytest.mark.parametrize("row", CONNECTING, ids=str)
async def test_a_name_that_turns_to_a_denied_address_opens_no_socket(
    row: Row, opened: Opened, certificate: Certificate
) -> None:
    names = Names(["127.0.0.1"], [METADATA])
    async with front(opened.address, context=certificate.context(), behind=opened.behind) as server:
        driver = opened.go(_door(server.port, names, certificate, opened))
        await opened.call(driver)
        before = server.connections
        assert before == len(names.asked) == 1
        await server.drop()
        if opened.later is None:
            driver = opened.go(_door(server.port, names, certificate, opened))
        else:
            opened.clock.ahead += opened.later
        with pytest.raises(EndpointForbiddenError) as caught:
            await opened.call(driver)
        assert server.connections == before
        assert names.asked == [HOST, HOST]
        assert HOST not in str(caught.value)
        assert METADATA not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [[METADATA], ["127.0.0.1", METADATA], [METADATA, "127.0.0.1"], ["::ffff:" + METADATA]]
)
@pytest.mark.parametrize("row", CONNECTING, ids=str)
async def test_one_denied_address_is_enough(
    row: Row, answer: list[str], opened: Opened, certificate: Certificate
) -> None:
    async with front(opened.address, context=certificate.context(), behind=opened.behind) as server:
        driver = opened.go(_door(server.port, Names(answer), certificate, opened))
        with pytest.raises(EndpointForbiddenError):
            await opened.call(driver)
        assert server.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("row", CONNECTING, ids=str)
async def test_a_redirect_to_another_host_is_not_followed(
    row: Row, status: int, opened: Opened, certificate: Certificate
) -> None:
    async with serve(lambda _: http(200)) as elsewhere:
        location = elsewhere.endpoint.replace("127.0.0.1", "elsewhere.example") + "/"
        answer = http(status, location=location, x_amz_bucket_region="mars-1")
        async with serve(lambda _: answer, tls=certificate.context()) as redirecting:
            names = Names(["127.0.0.1"])
            driver = opened.go(_door(int(redirecting.endpoint.rpartition(":")[2]), names, certificate, opened))
            with pytest.raises(StowError) as caught:
                await opened.call(driver)
            assert redirecting.requests
            assert elsewhere.connections == 0
            assert set(names.asked) == {HOST}
            assert "elsewhere" not in str(caught.value)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.connects], ids=str)
async def test_a_call_that_needs_no_connection_asks_no_resolver(
    row: Row, opened: Opened, certificate: Certificate
) -> None:
    names = Names(["127.0.0.1"])
    async with front(opened.address, context=certificate.context(), behind=opened.behind) as server:
        driver = opened.go(_door(server.port, names, certificate, opened))
        await opened.call(driver)
        assert (server.connections, names.asked) == (0, [])
