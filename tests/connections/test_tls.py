"""Trust: a private authority with its bundle, and what is refused: no bundle, another host's certificate, an expired one, old TLS."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from connections.certificates import HOST, Certificate, issue, trusting
from connections.front import Names, front
from connections.kinds import ROWS, Door, Opened, Row
from stow.dev.certificates import now
from stow.errors import BackendUnreachableError
from stow.transport.connections import Outside


@dataclass(frozen=True)
class Fault:
    """How the server and the client's trust are made. ``certificate`` gets a folder."""

    certificate: Callable[[Path], Certificate]
    bundled: bool = True
    tls_1_1: bool = False


FAULTS = {
    "unknown authority": Fault(issue, bundled=False),
    "another host": Fault(lambda folder: issue(folder, name="other.example")),
    "a wider name of another domain": Fault(lambda folder: issue(folder, name="*.other.example")),
    "expired": Fault(lambda folder: issue(folder, at=now() - timedelta(days=30))),
    "not valid yet": Fault(lambda folder: issue(folder, at=now() + timedelta(days=1))),
    "TLS 1.1": Fault(issue, tls_1_1=True),
}


def _old(context: ssl.SSLContext) -> ssl.SSLContext:
    """TLS 1.1 and nothing newer, which the library still speaks when it is told to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _door(port: int, trusted: ssl.SSLContext, names: Names) -> Door:
    return Door(f"https://{HOST}:{port}", Outside(resolve=names, jitter=lambda: 0.0), trusted)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_private_authority_is_trusted_with_its_bundle(row: Row, opened: Opened, tmp_path: Path) -> None:
    certificate = issue(tmp_path / "ca")
    async with front(opened.address, context=certificate.context(), behind=opened.behind) as server:
        driver = opened.go(_door(server.port, trusting(certificate, opened), Names(["127.0.0.1"])))
        await opened.call(driver)
        assert (server.talks > 0) is row.connects


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_server_that_cannot_be_trusted_hears_nothing(
    row: Row, fault: str, opened: Opened, tmp_path: Path
) -> None:
    made = FAULTS[fault]
    certificate = made.certificate(tmp_path / "ca")
    context = _old(certificate.context()) if made.tls_1_1 else certificate.context()
    async with front(opened.address, context=context, behind=opened.behind) as server:
        trusted = trusting(certificate if made.bundled else None, opened)
        driver = opened.go(_door(server.port, trusted, Names(["127.0.0.1"])))
        if row.connects:
            with pytest.raises(BackendUnreachableError) as caught:
                await opened.call(driver)
            assert HOST not in str(caught.value)
        else:
            await opened.call(driver)
        assert server.talks == 0


async def test_the_old_server_does_serve_those_who_ask_for_it(tmp_path: Path) -> None:
    """Else nothing would have been proven by its refusal."""
    certificate = issue(tmp_path / "ca")
    async with front(("127.0.0.1", 1), context=_old(certificate.context())) as server:
        client = _old(ssl.create_default_context(cafile=str(certificate.ca_path)))
        client.check_hostname = False
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            with pytest.raises(aiohttp.ClientError):  # nobody is behind it
                await session.get(f"https://127.0.0.1:{server.port}/", ssl=client)
        assert server.talks
