"""What S3 says in XML, as data.

Keys in listings are asked for url-encoded (``encoding-type=url``), because XML 1.0 cannot hold control characters. Where the answer says
that they are, they are decoded, exactly once; versitygw does not encode, and a plus is a plus there. AWS and MinIO write a space as ``+``
and a plus as ``%2B``, moto's server writes ``%20`` and ``%2B``: one decoder fits both.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from stow.errors import BackendFailedError
from stow.storage.model import ListedObject, Listing
from stow.transport.xml import Element, expect, parse, timestamp


def error_size(body: bytes) -> int | None:
    """``ActualObjectSize`` of an InvalidRange error."""
    try:
        text = parse(body).get("ActualObjectSize")
    except BackendFailedError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


def decode_key(text: str) -> str:
    """A key of a listing with ``encoding-type=url``, decoded once.

    Raises:
        BackendFailedError: not UTF-8: such a key cannot have come from here, and has no name that a caller could use.
    """
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError as exc:
        raise BackendFailedError("The backend lists a key that is not UTF-8.") from exc


def key_decoder(page: Element) -> Callable[[str], str]:
    """How the keys of this page are read: a backend that encodes says so."""
    return decode_key if page.get("EncodingType").lower() == "url" else str


def listing(body: bytes) -> Listing:
    """One page of ListObjectsV2, sorted by UTF-8 bytes (directory buckets of AWS do not sort)."""
    root = expect(parse(body), "ListBucketResult")
    decoded = key_decoder(root)
    try:
        objects = [
            ListedObject(
                key=decoded(item.get("Key")),
                size_bytes=int(item.get("Size")),
                etag=item.get("ETag").strip('"'),
                last_modified=timestamp(item.get("LastModified")),
            )
            for item in root.all("Contents")
        ]
    except ValueError as exc:
        raise BackendFailedError("The backend's listing makes no sense.") from exc
    prefixes = {decoded(item.get("Prefix")) for item in root.all("CommonPrefixes")}
    truncated = root.get("IsTruncated") == "true"
    token = root.get("NextContinuationToken") or None
    if truncated and token is None:
        raise BackendFailedError("The backend cut its listing short without saying how to go on.")
    return Listing(
        objects=tuple(sorted(objects, key=lambda found: found.key.encode())),
        prefixes=tuple(sorted(prefixes, key=str.encode)),
        token=token if truncated else None,
    )


def etag_of(body: bytes, name: str) -> str:
    """The ETag in a result named ``name``, without quotes.

    Raises:
        BackendFailedError: no such result, or no ETag in it.
    """
    etag = expect(parse(body), name).get("ETag").strip('"')
    if not etag:
        raise BackendFailedError("The backend's answer lacks an ETag.")
    return etag
