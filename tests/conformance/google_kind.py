"""Google Cloud Storage for the suite: fake-gcs-server behind the front that verifies tokens and signatures as Google does."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Final

from conformance.world import Honour, Kind
from servers.fake_gcs import FakeGcsServer
from servers.gcs_front import GcsFront, running_front
from servers.google_identity import ServiceAccount, make_account
from stow.dev.versions import FAKE_GCS
from stow.drivers.google.config import GoogleConfig, ServiceAccountKey, Uploads
from stow.drivers.google.driver import GoogleDriver
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

UPLOADS: Final = Uploads(single_bytes=8 * MIB, chunk_bytes=5 * MIB)
"""Small, so that a test of some megabytes goes up in chunks."""

_LABELS: Final = "no labels in the answer (it keeps none of a bucket's labels)"
SHORTFALLS: Final[dict[tuple[str, str], str]] = {
    (
        "google",
        promise_id,
    ): f"fake-gcs-server {FAKE_GCS}: {answer}; the request that goes out is asserted in tests/drivers/google"
    for promise_id, answer in {
        "a-taken-name-is-refused": _LABELS,
        "our-own-container-is-returned": _LABELS,
        "marker-round-trip": _LABELS,
        "marked-container-is-not-loaded-on-demand": _LABELS,
        "container-tags": _LABELS,
        "container-versioning": _LABELS,
        "container-expiry": "no lifecycle in the answer (it keeps none of a bucket's rules)",
        "container-settings-together": _LABELS,
        "old-versions-keep-a-container": "200 for DELETE of a bucket with noncurrent versions",
        "list-of-many-keys": "more than maxResults entries (it counts items and not prefixes)",
        "list-delimiter-folds": "more than maxResults entries, and a prefix again on the next page",
        "delete-if-match": "204 for another x-goog-if-generation-match (it reads preconditions of uploads alone)",
        "copy-under-conditions": "200 for ifGenerationMatch=0 over an object (it reads preconditions of uploads alone)",
        "copy-replaces-attributes": "the source's attributes where the new object is to have none (it merges them)",
        "sign-binds-content-md5": "200 for a body that is not the one of its Content-MD5 (it reads none)",
    }.items()
}
"""See kinds.SHORTFALLS. What Google documents for each: labels and lifecycle of a bucket resource; 409 for a bucket that is not empty;
maxResults counts items and prefixes together; preconditions of every method; rewrite replaces the metadata by the body's; 400 BadDigest."""


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
