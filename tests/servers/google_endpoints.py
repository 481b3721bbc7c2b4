"""The endpoints beside Cloud Storage that Google's identity needs: tokens, signBlob, the metadata server.

Each answers as Google documents it, for the accounts of one `Identities`, and counts what it was asked. `gcs_front`
says where they listen and what they leave out.
"""

from __future__ import annotations

import base64
import binascii
import collections
import json
from collections.abc import Callable
from urllib.parse import parse_qs

from aiohttp import web

from servers.google_identity import PROJECT, TOKEN_URL, GrantError, Identities, ServiceAccount

METADATA = "/computeMetadata/v1/"
ACCOUNT = "instance/service-accounts/default"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}


class GoogleEndpoints:
    """`metadata_account` is the default service account of the machine; `None`: it has none."""

    def __init__(
        self, identities: Identities, counts: collections.Counter[str], *, token_url: Callable[[], str]
    ) -> None:
        self.metadata_account: ServiceAccount | None = None
        self.universe_domain = "googleapis.com"
        self._identities = identities
        self._counts = counts
        self._token_url = token_url

    async def token(self, request: web.BaseRequest) -> web.Response:
        self._counts["token"] += 1
        form = parse_qs((await request.read()).decode("utf-8", "replace"))
        grant_type, assertion = (form.get(name, [""])[0] for name in ("grant_type", "assertion"))
        try:
            if request.method != "POST":
                raise GrantError("invalid_request", "The token endpoint takes POST.")
            token = self._identities.grant(grant_type, assertion, audiences={self._token_url(), TOKEN_URL})
        except GrantError as error:
            return web.json_response({"error": error.error, "error_description": error.description}, status=400)
        return web.json_response(self._issued(token))

    async def sign_blob(self, request: web.BaseRequest, email: str) -> web.Response:
        """https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob"""
        self._counts["sign_blob"] += 1
        body = await request.read()
        if request.method != "POST":
            return _rpc_error(404, "NOT_FOUND", "Not found.")
        caller = bearer(request, self._identities)
        if caller is None:
            return _rpc_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        account = self._identities.accounts.get(email)
        if account is None or not caller.is_allowed:
            return _rpc_error(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.signBlob' denied on resource.")
        try:
            payload = base64.b64decode(json.loads(body)["payload"], validate=True)
        except (ValueError, KeyError, TypeError, binascii.Error):
            return _rpc_error(400, "INVALID_ARGUMENT", "The payload must be base64.")
        signature = base64.b64encode(account.sign(payload)).decode()
        return web.json_response({"keyId": account.key_id, "signedBlob": signature})

    def metadata(self, request: web.BaseRequest, path: str) -> web.Response:
        """https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys; `path` as `/computeMetadata/v1/...`, or
        `/`, by which clients find out whether it is a metadata server at all."""
        name = path.removeprefix(METADATA)
        self._counts[f"metadata:{name}"] += 1
        if path == "/":
            return web.Response(text="computeMetadata/\n", headers=FLAVOR)
        if request.headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in request.headers:
            return web.Response(status=403, text="Missing Metadata-Flavor:Google header.", headers=FLAVOR)
        account = self.metadata_account
        texts = {"project/project-id": PROJECT, "universe/universe-domain": self.universe_domain}
        if account is not None:
            texts[f"{ACCOUNT}/email"] = account.email
        if name in texts:
            return web.Response(text=texts[name], headers=FLAVOR)
        if account is not None and name == f"{ACCOUNT}/token":
            return web.json_response(self._issued(self._identities.issue(account.email)), headers=FLAVOR)
        if account is not None and name == f"{ACCOUNT}/":
            about = {"aliases": ["default"], "email": account.email, "scopes": SCOPES}
            return web.json_response(about, headers=FLAVOR)
        return web.Response(status=404, text="Not found.", headers=FLAVOR)

    def _issued(self, token: str) -> dict[str, object]:
        return {"access_token": token, "expires_in": int(self._identities.token_life_s), "token_type": "Bearer"}


def bearer(request: web.BaseRequest, identities: Identities) -> ServiceAccount | None:
    """Whose valid access token the request carries, if it carries one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return identities.holder(token.strip()) if scheme.lower() == "bearer" else None


def _rpc_error(status: int, name: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": status, "message": message, "status": name}}, status=status)
