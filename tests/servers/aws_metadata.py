"""Stand-ins of what gives AWS credentials to a workload: STS for web identities, the endpoint of EKS Pod Identity, and the instance's
metadata service (version 2). Each is HTTP on loopback, checks what a real one checks of a request, and counts.

They prove which requests go out, when and with what. They prove nothing about AWS's own answers beyond their documented form.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

from servers.stub import Seen, Stub, http, serve

ROLE = "arn:aws:iam::123456789012:role/stow"
POD_PATH = "/v1/credentials"
_KEYS_PATH = "/latest/meta-data/iam/security-credentials/"
_INSTANCE_ROLE = "stow-role"
_IMDS_TOKEN = "imds-session-canary"


@dataclass
class AwsMetadata:
    """``grant`` gives the keys that the next exchange hands out: (key id, secret, session token). They live ``lifetime`` from ``clock``.

    ``asked`` counts requests by service: ``sts``, ``pod``, ``imds-token``, ``imds-role``, ``imds-keys``. ``answer`` replaces the
    answer of all of them where it is set.
    """

    clock: Callable[[], datetime]
    grant: Callable[[], tuple[str, str, str]]
    folder: Path
    lifetime: timedelta = timedelta(seconds=2)
    asked: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    answer: Callable[[Seen], bytes] | None = None
    token: str = "token-canary-1"
    stub: Stub | None = None

    @property
    def endpoint(self) -> str:
        assert self.stub is not None
        return self.stub.endpoint

    def environ(self, source: str) -> dict[str, str]:
        """The variables that configure one source: ``irsa``, ``pod`` or ``imds``."""
        self.token_path.write_text(self.token)
        sources: Mapping[str, dict[str, str]] = {
            "irsa": {
                "AWS_ROLE_ARN": ROLE,
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.token_path),
                "AWS_ENDPOINT_URL_STS": self.endpoint,
                "AWS_REGION": "eu-west-1",
            },
            "pod": {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.endpoint + POD_PATH,
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.token_path),
            },
            "imds": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.endpoint},
        }
        return sources[source]

    @property
    def token_path(self) -> Path:
        return self.folder / "token"

    @property
    def exchanges(self) -> int:
        """How often keys were handed out, or refused."""
        return self.asked["sts"] + self.asked["pod"] + self.asked["imds-keys"]

    def __call__(self, seen: Seen) -> bytes:
        service, fault = self._judge(seen)
        self.asked[service] += 1
        if self.answer is not None:
            return self.answer(seen)
        if fault is not None:
            self.refused.append(f"{service}: {fault}")
            return http(403)
        key_id, secret, token = self.grant()
        ends = (self.clock() + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {"AccessKeyId": key_id, "SecretAccessKey": secret, "Token": token, "Expiration": ends}
        match service:
            case "sts":
                return http(body=_assumed(key_id, secret, token, ends), content_type="text/xml")
            case "imds-token":
                return http(body=_IMDS_TOKEN.encode(), content_type="text/plain")
            case "imds-role":
                return http(body=_INSTANCE_ROLE.encode(), content_type="text/plain")
            case "imds-keys":
                document |= {"Code": "Success", "Type": "AWS-HMAC"}
        return http(body=json.dumps(document).encode(), content_type="application/json")

    def _judge(self, seen: Seen) -> tuple[str, str | None]:
        """Which service is asked, and what is wrong with the request."""
        if seen.target == "/" and seen.method == "POST":
            form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
            wanted = {"Action": "AssumeRoleWithWebIdentity", "RoleArn": ROLE, "WebIdentityToken": self.token}
            wrong = [name for name, value in wanted.items() if form.get(name) != value]
            if "authorization" in seen.headers:
                wrong.append("signed")
            return "sts", ", ".join(wrong) or None
        if seen.target == POD_PATH:
            return "pod", None if seen.headers.get("authorization") == self.token else "authorization"
        if seen.target == "/latest/api/token":
            lasting = seen.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            return "imds-token", None if seen.method == "PUT" and lasting.isdigit() else "no time to live"
        if seen.target.startswith(_KEYS_PATH):
            known = seen.headers.get("x-aws-ec2-metadata-token") == _IMDS_TOKEN
            role = seen.target.removeprefix(_KEYS_PATH)
            service = "imds-keys" if role else "imds-role"
            return service, None if known and role in {"", _INSTANCE_ROLE} else "token or role"
        return "unknown", "unknown path"


def _assumed(key_id: str, secret: str, token: str, ends: str) -> bytes:
    return (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>'
        f"<Credentials><AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
        f"<SessionToken>{token}</SessionToken><Expiration>{ends}</Expiration></Credentials>"
        "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/stow/stow-operator</Arn>"
        "<AssumedRoleId>AROAEXAMPLE:stow-operator</AssumedRoleId></AssumedRoleUser>"
        "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    ).encode()


@contextlib.asynccontextmanager
async def aws_metadata(
    folder: Path, *, clock: Callable[[], datetime], grant: Callable[[], tuple[str, str, str]]
) -> AsyncIterator[AwsMetadata]:
    """All three on one free loopback port."""
    metadata = AwsMetadata(clock, grant, folder)
    async with serve(metadata) as stub:
        metadata.stub = stub
        yield metadata
