"""Stand-ins of what gives Azure tokens to a workload: Microsoft Entra ID's token endpoint, on TLS, and the instance's metadata
service, on HTTP.

They check what real ones check of a request's form, count, and give unsigned tokens, which Azurite takes. They prove which requests go
out, when and with what; nothing about Microsoft's own answers beyond their documented form.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from servers.stub import Seen, http, serve
from stow.dev.certificates import LOOPBACK_NAMES, Authority

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
SECRET = "client-secret-canary"
ASSERTION = "federated-token-canary"
REBINDING = "rebinding.example"
"""A name for tests of resolving, which its certificate has too."""
RESOURCE = "https://storage.azure.com"


@dataclass
class Entra:
    """``asked`` counts requests by grant: ``secret``, ``assertion``, ``metadata``. ``answer`` replaces all answers where it is set."""

    folder: Path
    lifetime: timedelta = timedelta(hours=1)
    asked: Counter[str] = field(default_factory=Counter)
    given: list[str] = field(default_factory=list)
    answer: Callable[[Seen], bytes] | None = None
    authority: str = ""
    metadata: str = ""
    ca_path: Path = Path()
    tls: ssl.SSLContext | None = None

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_path))

    def token(self) -> str:
        """An unsigned token, in the form that Azurite asks for."""
        now = datetime.now(UTC)
        claims = {
            "aud": RESOURCE,
            "iss": f"https://sts.windows.net/{uuid.uuid4()}/",
            "iat": int((now - timedelta(minutes=1)).timestamp()),
            "nbf": int((now - timedelta(minutes=1)).timestamp()),
            "exp": int((now + timedelta(hours=1)).timestamp()),
            "oid": str(uuid.uuid4()),
            "tid": TENANT,
        }
        parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in ({"alg": "none"}, claims)]
        self.given.append(b".".join([*parts, b"x"]).decode())
        return self.given[-1]

    def _judge(self, seen: Seen) -> str | None:
        target = urlsplit(seen.target)
        query = parse_qs(target.query)
        if target.path == "/metadata/identity/oauth2/token":
            right = seen.headers.get("metadata") == "true" and query["resource"][0].startswith(RESOURCE)
            return "metadata" if right else None
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        if target.path != f"/{TENANT}/oauth2/v2.0/token" or form.get("client_id") != CLIENT:
            return None
        if form.get("scope") != f"{RESOURCE}/.default" or form.get("grant_type") != "client_credentials":
            return None
        if form.get("client_secret") == SECRET:
            return "secret"
        return "assertion" if form.get("client_assertion") == ASSERTION else None

    def __call__(self, seen: Seen) -> bytes:
        grant = self._judge(seen)
        self.asked[grant or "refused"] += 1
        if self.answer is not None:
            return self.answer(seen)
        if grant is None:
            refusal = {"error": "invalid_client", "error_description": "SECRET-BACKEND-TEXT"}
            return http(401, json.dumps(refusal).encode(), content_type="application/json")
        lives = int(self.lifetime.total_seconds())
        end = int((datetime.now(UTC) + self.lifetime).timestamp())
        body = {"token_type": "Bearer", "access_token": self.token(), "expires_in": lives, "ext_expires_in": lives}
        if grant == "metadata":
            body |= {"expires_in": str(lives), "expires_on": str(end), "resource": RESOURCE}
        return http(200, json.dumps(body).encode(), content_type="application/json")


@contextlib.asynccontextmanager
async def serve_entra(folder: Path) -> AsyncIterator[Entra]:
    """Both on free loopback ports; the authority's certificate comes from a CA of its own, at ``ca_path``."""
    authority = Authority(folder, now=datetime.now(UTC))
    pair = authority.issue_server("entra", names=(*LOOPBACK_NAMES, REBINDING))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    entra = Entra(folder, ca_path=authority.path, tls=tls)
    async with serve(entra, tls=tls) as over_tls, serve(entra) as plain:
        entra.authority, entra.metadata = over_tls.endpoint, plain.endpoint
        yield entra
