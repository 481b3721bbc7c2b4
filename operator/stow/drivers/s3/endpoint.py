"""Which host a request goes to, and under which path: endpoints, regions, partitions and addressing styles.

Refuses endpoints with a path, a query or credentials in them. The identity of AWS is its partition, because bucket names are global
there; of every other endpoint it is the host and the port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stow.errors import InvalidSpecError
from stow.transport.urls import netloc, parts_of

DEFAULT_REGION: Final = "us-east-1"


class AddressingStyle(StrEnum):
    """Where the bucket's name stands. Auto is Virtual on AWS, for names without a dot, and Path elsewhere."""

    AUTO = "Auto"
    PATH = "Path"
    VIRTUAL = "Virtual"


_PARTITIONS: Final = {
    # prefix of the region's name: (partition, DNS suffix)
    "cn-": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-": ("aws-us-gov", "amazonaws.com"),
    "us-iso-": ("aws-iso", "c2s.ic.gov"),
    "us-isob-": ("aws-iso-b", "sc2s.sgov.gov"),
    "eusc-": ("aws-eusc", "amazonaws.eu"),
}
_AWS_SUFFIXES: Final = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".c2s.ic.gov", ".sc2s.sgov.gov")
_AWS_REGION: Final = re.compile(r"[a-z]{2,5}(?:-[a-z]+)+-\d{1,2}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}")


def partition_of(region: str) -> tuple[str, str]:
    """The partition's name and its DNS suffix."""
    for prefix, found in _PARTITIONS.items():
        if region.startswith(prefix):
            return found
    return "aws", "amazonaws.com"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed endpoint. ``host`` is IDNA-encoded, in lower case, without a port; IPv6 addresses stand in brackets."""

    scheme: str
    host: str
    port: int
    region: str
    aws_partition: str | None
    addressing: AddressingStyle

    @classmethod
    def of(cls, endpoint: str | None, *, region: str | None, addressing: AddressingStyle) -> Endpoint:
        """``endpoint=None`` is AWS in that region (us-east-1 where none is given).

        Raises:
            InvalidSpecError: not ``http[s]://host[:port]``, or a malformed region.
        """
        if region is not None and not _REGION.fullmatch(region):
            raise InvalidSpecError(
                "The region is malformed: use lower-case letters, digits and hyphens, for example eu-west-1."
            )
        if endpoint is None:
            found = region or DEFAULT_REGION
            partition, suffix = partition_of(found)
            return cls("https", f"s3.{found}.{suffix}", 443, found, partition, addressing)
        scheme, host, port = _parse(endpoint)
        aws_region = _aws_region(host)
        if aws_region is None:
            return cls(scheme, host, port, region or DEFAULT_REGION, None, addressing)
        # The host decides the partition: a wrong region must not give the same buckets another identity.
        return cls(scheme, host, port, region or aws_region, partition_of(aws_region)[0], addressing)

    @property
    def netloc(self) -> str:
        """``host[:port]``, the port only where it is not the scheme's own."""
        return netloc(self.scheme, self.host, self.port)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def identity(self) -> str:
        return f"s3://aws/{self.aws_partition}" if self.aws_partition is not None else f"s3://{self.netloc}"

    def virtual(self, bucket: str) -> bool:
        """Whether the bucket's name goes into the host name."""
        if self.addressing is AddressingStyle.AUTO:
            # A dotted name does not match the wildcard certificate *.s3.<region>.amazonaws.com.
            return self.aws_partition is not None and "." not in bucket
        return self.addressing is AddressingStyle.VIRTUAL

    def locate(self, bucket: str, encoded_key: str) -> tuple[str, str]:
        """``(host[:port], path)`` of an object; an empty key is the bucket itself."""
        if self.virtual(bucket):
            return f"{bucket}.{self.netloc}", f"/{encoded_key}"
        return self.netloc, f"/{bucket}/{encoded_key}" if encoded_key else f"/{bucket}"


def _aws_region(host: str) -> str | None:
    """The region that a host of AWS's S3 names, us-east-1 where it names none; None for other hosts.

    Plain, dual-stack, FIPS, accelerated and VPC endpoints are doors to the same buckets, so they must share one identity.
    """
    suffix = next((suffix for suffix in _AWS_SUFFIXES if host.endswith(suffix)), None)
    if suffix is None:
        return None
    labels = host.removesuffix(suffix).split(".")
    if not any(label == "s3" or label.startswith("s3-") for label in labels):
        return None
    regions = (label.removeprefix("s3-") for label in labels)
    return next((region for region in regions if _AWS_REGION.fullmatch(region)), DEFAULT_REGION)


def _parse(endpoint: str) -> tuple[str, str, int]:
    try:
        parts = parts_of(endpoint)
    except ValueError:
        parts = None
    if parts is None or parts.path:
        raise InvalidSpecError(
            "The endpoint is malformed: write http[s]://host[:port], without a path, a query or credentials."
        )
    return parts.scheme, parts.host, parts.port
