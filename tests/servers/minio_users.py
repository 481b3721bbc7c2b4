"""Users of MinIO beside its root: made and taken away by its admin API, as `mc admin user` does.

Bodies that hold a secret are encrypted with the administrator's own: a salt, the cipher's number (2: PBKDF2 and AES-256-GCM) and a nonce,
then the text in fragments of 16 KiB, of which these bodies fill one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from yarl import URL

from servers.minio import MinioServer

ADMIN = "/minio/admin/v3"
PBKDF2_AES_GCM = b"\x02"
ITERATIONS = 8192
LAST_FRAGMENT = b"\x80"


async def add_user(server: MinioServer, access_key: str, secret_key: str, *, actions: Sequence[str]) -> None:
    """A user that may do these actions (`s3:GetObject`) everywhere and nothing else."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": ["arn:aws:s3:::*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()
    user = json.dumps({"secretKey": secret_key, "status": "enabled"}).encode()
    await _ask(server, "PUT", "add-canned-policy", {"name": access_key}, policy)
    await _ask(server, "PUT", "add-user", {"accessKey": access_key}, _encrypted(server.secret_key, user))
    attached = {"policyName": access_key, "userOrGroup": access_key, "isGroup": "false"}
    await _ask(server, "PUT", "set-user-or-group-policy", attached)


async def remove_user(server: MinioServer, access_key: str) -> None:
    """Its key is refused from now on."""
    await _ask(server, "DELETE", "remove-user", {"accessKey": access_key})


async def _ask(server: MinioServer, method: str, what: str, query: Mapping[str, str], body: bytes = b"") -> None:
    request = AWSRequest(method, f"{server.endpoint}{ADMIN}/{what}?{urlencode(query)}", data=body)
    request.context["client_config"] = None
    request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
    S3SigV4Auth(Credentials(server.access_key, server.secret_key), "s3", server.region).add_auth(request)
    headers: dict[str, Any] = dict(request.headers.items())
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, URL(str(request.url), encoded=True), headers=headers, data=body) as answer,
    ):
        text = await answer.text()
        assert answer.status in {200, 204}, f"{what}: {answer.status} {text}"


def _encrypted(password: str, text: bytes) -> bytes:
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(8)
    cipher = AESGCM(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS))

    def numbered(fragment: int) -> bytes:
        return nonce + struct.pack("<I", fragment)

    bound = LAST_FRAGMENT + cipher.encrypt(numbered(0), b"", b"")
    return salt + PBKDF2_AES_GCM + nonce + cipher.encrypt(numbered(1), text, bound)
