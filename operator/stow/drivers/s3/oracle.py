"""Oracle Cloud's object storage, through its S3-compatible API: the S3 driver with an endpoint, references and limits of its own.

Needs "customer secret keys" (an S3 pair that a user of the tenancy makes; there is no session token) and the tenancy's object storage
namespace. Buckets of that API come to be in the compartment that the tenancy designates for it. Refuses what cannot be part of a host
name. The dialect's row in capabilities.py promises only what Oracle documents; nothing was proven against Oracle's own service.

Source: "Amazon S3 Compatibility API" in the documentation of Oracle Cloud Infrastructure.
"""

from __future__ import annotations

import re
import ssl
from typing import Final

from stow.drivers.s3.config import Credentials, Dialect, S3Config
from stow.drivers.s3.endpoint import AddressingStyle, Endpoint
from stow.errors import InvalidSpecError
from stow.storage.egress import EgressPolicy

SCHEME: Final = "os"
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_DOMAINS: Final = ("oraclecloud.com", "oci.customer-oci.com")
"""Two names of one service: the second gives each tenancy a domain of its own."""


def oracle_config(
    *,
    namespace: str,
    region: str,
    endpoint: str | None,
    credentials: Credentials,
    presign_endpoint: str | None,
    egress: EgressPolicy,
    ssl_context: ssl.SSLContext | None,
) -> S3Config:
    """The configuration of one namespace in one region, as an :class:`S3Driver` takes it.

    ``endpoint`` is for private endpoints and other realms; None is the public one. The identity is namespace and region, as both public
    names have them; of any other endpoint it is the host, because nothing says that it is the same namespace behind it.

    Raises:
        InvalidSpecError: a malformed namespace, region or endpoint.
    """
    for name, value in (("namespace", namespace), ("region", region)):
        if not _LABEL.fullmatch(value):
            raise InvalidSpecError(
                f"The {name} is malformed: write it as the console shows it, in lower-case letters, digits and hyphens."
            )
    host = f"{namespace}.compat.objectstorage.{region}."
    url = endpoint or f"https://{host}{_DOMAINS[0]}"
    parsed = Endpoint.of(url, region=region, addressing=AddressingStyle.PATH)
    public = parsed.netloc in {host + domain for domain in _DOMAINS}
    return S3Config(
        credentials,
        scheme=SCHEME,
        identity=f"{SCHEME}://{namespace}.{region}" if public else f"{SCHEME}://{parsed.netloc}",
        endpoint=url,
        region=region,
        addressing_style=AddressingStyle.PATH,  # a bucket in the host name is not documented
        dialect=Dialect.ORACLE,
        presign_endpoint=presign_endpoint,
        egress=egress,
        ssl_context=ssl_context,
    )
