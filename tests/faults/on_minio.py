"""MinIO: S3 in path style, with signatures."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from faults.harm import Status
from faults.http1 import Seen
from faults.kind import CANARY, EGRESS, Door, Kind, Role, Server
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.model import MIB


def _is(
    method: str, *, key: bool, query: tuple[str, ...] = (), without: tuple[str, ...] = (), header: str = ""
) -> Role:
    """Path style. ``query`` are parameters that must be there, ``without`` such that must not."""

    def role(seen: Seen, container: str, name: str) -> bool:
        path = f"/{container}/{name}" if key else f"/{container}"
        found = seen.query.keys()
        copies = "x-amz-copy-source" in seen.fields
        return (
            seen.method == method
            and seen.path == path
            and found >= set(query)
            and not found & set(without)
            and copies == (header == "x-amz-copy-source")
        )

    return role


def _first_part(seen: Seen, container: str, key: str) -> bool:
    return _is("PUT", key=True, query=("partNumber",))(seen, container, key) and seen.query["partNumber"] == "1"


def _minio(request: pytest.FixtureRequest) -> Server:
    import boto3

    from servers.minio import MinioServer
    from stow.drivers.s3.config import Dialect, Multipart, S3Config, StaticCredentials
    from stow.drivers.s3.driver import S3Driver

    server: MinioServer = request.getfixturevalue("minio")

    def driver(door: Door) -> Driver:
        config = S3Config(
            StaticCredentials(server.access_key, server.secret_key),
            endpoint=door.endpoint,
            region=server.region,
            dialect=Dialect.MINIO,
            egress=EGRESS,
            deadlines=door.deadlines,
            multipart=Multipart(threshold_bytes=9 * MIB, first_part_bytes=5 * MIB),
            ssl_context=door.ssl_context,
        )
        return S3Driver(config, clock=utc_now, outside=door.outside)

    def uploads(container: str, key: str) -> int:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=server.region,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )
        try:
            # MinIO lists uploads by their exact key alone.
            return len(client.list_multipart_uploads(Bucket=container, Prefix=key).get("Uploads", []))
        finally:
            client.close()

    async def leftovers(container: str, key: str) -> int:
        return await asyncio.to_thread(uploads, container, key)

    return Server(server.endpoint, driver, leftovers)


MINIO: Final = Kind(
    "minio",
    _minio,
    roles={
        "head": _is("HEAD", key=True),
        "list": _is("GET", key=False, query=("list-type",)),
        "read": _is("GET", key=True),
        "write": _is("PUT", key=True, without=("partNumber",)),
        "part": _first_part,
        "commit": _is("POST", key=True, query=("uploadId",)),
        "delete": _is("DELETE", key=True, without=("uploadId",)),
        "copy": _is("PUT", key=True, header="x-amz-copy-source"),
        "exists": _is("HEAD", key=False),
        "create": _is("PUT", key=False),
    },
    expired=Status(
        403,
        {"Content-Type": "application/xml", "x-minio-error-code": "ExpiredToken"},
        f"<Error><Code>ExpiredToken</Code><Message>{CANARY}</Message></Error>".encode(),
    ),
    single_bytes=9 * MIB,
    parted_bytes=6 * MIB,
    answers=frozenset({"list", "read", "copy", "commit"}),
    first_is_repeated=frozenset({"copy", "copy anew", "create"}),
    undo=_is("DELETE", key=True, query=("uploadId",)),
    calls={"copy": 2},  # the source is asked first: its version and size decide how it is copied
)
