"""Google Cloud Storage for the suite: fake-gcs-server behind the front that verifies tokens and signatures as Google does."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Final

from conformance.world import Honour, Kind
from servers.fake_gcs import FakeGcsServer
from servers.gcs_front import GcsFront, running_front
from servers.google_identity import ServiceAccount, make_account
from stow.drivers.google.config import GoogleConfig, ServiceAccountKey, Uploads
from stow.drivers.google.driver import GoogleDriver
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

UPLOADS: Final = Uploads(single_bytes=8 * MIB, chunk_bytes=5 * MIB)
"""Small, so that a test of some megabytes goes up in chunks."""

SHORTFALLS: Final[dict[tuple[str, str], str]] = {}


def service_key(account: ServiceAccount, *, email: str | None = None) -> ServiceAccountKey:
    """What is taken out of the account's key file."""
    document = json.loads(account.credentials_json())
    return ServiceAccountKey(
        client_email=email or document["client_email"],
        private_key=document["private_key"],
        private_key_id=document["private_key_id"],
        project_id=document["project_id"],
    )


def google_driver(
    front: GcsFront, key: ServiceAccountKey, *, deadlines: Deadlines, endpoint: str | None = None
) -> GoogleDriver:
    config = GoogleConfig(
        key,
        endpoint=endpoint or front.endpoint,
        token_uri=front.token_url,
        iam_endpoint=front.endpoint,
        metadata_endpoint=front.endpoint,
        egress=EgressPolicy(allowed=LOOPBACK),
        deadlines=deadlines,
        uploads=UPLOADS,
    )
    return GoogleDriver(config, clock=utc_now, outside=Outside(jitter=lambda: 0.0))  # retries come at once


async def google_kind(server: FakeGcsServer, *, deadlines: Deadlines, closed_port: int, honour: Honour) -> Kind:
    """The front is this kind's own. Denied: the known account with a key that is not its."""
    stack = AsyncExitStack()
    front = await stack.enter_async_context(running_front(server.endpoint))
    key = service_key(front.account)
    wrong = service_key(make_account("stranger"), email=front.account.email)

    def again() -> GoogleDriver:
        return google_driver(front, key, deadlines=deadlines)

    denied = google_driver(front, wrong, deadlines=deadlines)
    unreachable = google_driver(front, key, deadlines=deadlines, endpoint=f"http://127.0.0.1:{closed_port}")
    return Kind(
        "google",
        again(),
        denied=lambda: denied,
        unreachable=lambda: unreachable,
        secrets=(_middle(key.private_key), _middle(wrong.private_key)),
        honour=honour,
        again=again,
        aclose=stack.aclose,
    )


def _middle(pem: str) -> str:
    """A line of the key: messages that cut or fold it show that too."""
    lines = pem.splitlines()
    return lines[len(lines) // 2]
