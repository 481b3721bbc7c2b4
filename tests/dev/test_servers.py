"""The S3 servers of the tests: what is real about each."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

from servers.minio import MinioServer, start_minio
from servers.moto import MotoServer
from stow.dev.assets import Assets
from stow.dev.processes import ProcessGroup
from stow.dev.runfolder import RunFolder

CONFIG = Config(
    retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20, proxies={}, s3={"addressing_style": "path"}
)


def s3(server: MinioServer | MotoServer, *, secret_key: str | None = None, verify: str | None = None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        region_name=server.region,
        config=CONFIG,
        verify=verify,
    )


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    with RunFolder(parent=tmp_path) as run, ProcessGroup(run) as group:
        yield group


def test_minio_keeps_an_object(minio: MinioServer, unique_name: Any) -> None:
    client, bucket = s3(minio), unique_name("bucket")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="a", Body=b"content")

    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"content"


def test_minio_verifies_signatures(minio: MinioServer) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3(minio, secret_key="not the key").list_buckets()


def test_a_minio_takes_the_credentials_that_it_is_given(group: ProcessGroup, assets: Assets) -> None:
    server = start_minio(group, assets.find("minio"), access_key="jane-access", secret_key="jane-secret-key")

    assert s3(server).list_buckets()["Buckets"] == []
    assert "jane-secret-key" not in repr(server)


def test_a_minio_listens_on_loopback_and_writes_nothing_outside_its_run_folder(
    group: ProcessGroup, assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MINIO_ROOT_USER_FILE", "/absent")

    server = start_minio(group, assets.find("minio"))

    assert urlsplit(server.endpoint).hostname == "127.0.0.1"
    assert list(home.iterdir()) == []


def test_a_minio_with_tls_is_verified_by_its_own_authority_alone(group: ProcessGroup, assets: Assets) -> None:
    server = start_minio(group, assets.find("minio"), tls=True)

    assert s3(server, verify=str(server.ca_path)).list_buckets()["Buckets"] == []
    with pytest.raises(SSLError):
        s3(server).list_buckets()


def test_two_minios_of_one_run_are_apart(group: ProcessGroup, assets: Assets) -> None:
    first, second = (start_minio(group, assets.find("minio"), name=name) for name in ("minio-a", "minio-b"))
    s3(first).create_bucket(Bucket="only-here")

    assert s3(second).list_buckets()["Buckets"] == []


def test_moto_keeps_keys_as_they_are(moto_server: MotoServer, unique_name: Any) -> None:
    client, bucket = s3(moto_server), unique_name("bucket")
    client.create_bucket(Bucket=bucket)
    for key in ("a//b", "/a", "a/", "a"):
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())

    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["/a", "a", "a/", "a//b"]


def test_servers_are_gone_once_their_group_is_left(assets: Assets, tmp_path: Path) -> None:
    with RunFolder(parent=tmp_path) as run, ProcessGroup(run) as group:
        server = start_minio(group, assets.find("minio"))
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.endpoint).port, timeout=5)

    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/")
