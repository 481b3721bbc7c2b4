"""Settings of a bucket, on MinIO and on moto's server: ours are set, those of others stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields

import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.session import Session

from drivers.s3.setup import Counter, Unique, drop, server_driver
from servers.minio import MinioServer
from servers.moto import MotoServer
from stow.drivers.s3.capabilities import TRAITS
from stow.drivers.s3.config import Dialect
from stow.drivers.s3.configuring import RULE
from stow.drivers.s3.driver import S3Driver
from stow.errors import ContainerNotFoundError, InvalidSpecError
from stow.storage.model import ContainerSettings, Marker

MARKER = Marker("install", "team-a", "reports", "0b1e", "n1")
NOTHING = ContainerSettings(tags={}, versioning=False, expire_after_days=0)
FOREIGN_RULE = {
    "ID": "theirs",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 3},
}
SERVERS = ("minio", "moto")


class Bench:
    """A driver, a bucket of its own, and a plain client of the SDK to look behind it."""

    def __init__(self, driver: S3Driver, name: str, client: BaseClient, counter: Counter) -> None:
        self.driver = driver
        self.name = name
        self.client = client
        self.counter = counter

    async def set(self, **settings: object) -> None:
        await self.driver.configure_container(self.name, ContainerSettings(**settings))  # type: ignore[arg-type]  # fields

    async def settings(self) -> ContainerSettings:
        return await self.driver.container_settings(self.name)

    def tags(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.client.get_bucket_tagging(Bucket=self.name)["TagSet"]}

    def rules(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.client.get_bucket_lifecycle_configuration(Bucket=self.name)["Rules"]
        return found

    def put_rules(self, *rules: object) -> None:
        self.client.put_bucket_lifecycle_configuration(Bucket=self.name, LifecycleConfiguration={"Rules": rules})

    async def writes(self, **settings: object) -> int:
        self.counter.methods.clear()
        await self.set(**settings)
        return sum(method in {"PUT", "DELETE"} for method in self.counter.methods)


@pytest.fixture(params=SERVERS)
async def bench(
    request: pytest.FixtureRequest, minio: MinioServer, moto_server: MotoServer, unique_name: Unique
) -> AsyncIterator[Bench]:
    server = minio if request.param == "minio" else moto_server
    counter = Counter()
    driver = server_driver(server, dialect=Dialect.MINIO if request.param == "minio" else Dialect.AWS, counter=counter)
    client = Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )
    name = unique_name("s3")
    await driver.create_container(name, None)
    yield Bench(driver, name, client, counter)
    client.close()
    await drop(driver, name)
    await driver.aclose()


async def test_a_new_bucket_has_none(bench: Bench) -> None:
    assert await bench.settings() == NOTHING


async def test_all_of_it_is_set_and_read_and_taken_back(bench: Bench) -> None:
    wanted = ContainerSettings(tags={"team": "a", "cost center": "a/+:@=._-"}, versioning=True, expire_after_days=30)
    await bench.driver.configure_container(bench.name, wanted)
    assert await bench.settings() == wanted
    await bench.driver.configure_container(bench.name, NOTHING)
    assert await bench.settings() == NOTHING


async def test_what_is_not_asked_for_stays(bench: Bench) -> None:
    await bench.set(tags={"a": "b"}, versioning=True, expire_after_days=7)
    await bench.set(expire_after_days=8)
    await bench.set()
    assert await bench.settings() == ContainerSettings(tags={"a": "b"}, versioning=True, expire_after_days=8)


async def test_what_is_so_already_is_not_written_again(bench: Bench) -> None:
    wanted: dict[str, object] = {"tags": {"a": "b"}, "versioning": True, "expire_after_days": 7}
    assert await bench.writes(**wanted) == 3
    assert await bench.writes(**wanted) == 0
    fresh: dict[str, object] = {"tags": {}, "versioning": False, "expire_after_days": 0}
    assert await bench.writes(**fresh) == 3
    assert await bench.writes(**fresh) == 0


async def test_the_marker_stays_and_is_no_tag_of_the_users(bench: Bench) -> None:
    await bench.driver.write_marker(bench.name, MARKER)
    await bench.set(tags={"a": "1", "b": "2"})
    await bench.set(tags={"b": "3"})
    assert await bench.driver.read_marker(bench.name) == MARKER
    assert (await bench.settings()).tags == {"b": "3"}
    await bench.set(tags={})
    assert await bench.driver.read_marker(bench.name) == MARKER
    await bench.driver.write_marker(bench.name, None)
    assert (await bench.settings()).tags == {}


@pytest.mark.parametrize("key", ["stowstore.io-uid", "stowstore.io-x", "Stowstore.io-uid", "aws:cloudformation"])
async def test_a_tag_in_the_markers_name_is_refused_before_any_request(bench: Bench, key: str) -> None:
    await bench.driver.write_marker(bench.name, MARKER)
    bench.counter.methods.clear()
    with pytest.raises(InvalidSpecError):
        await bench.set(tags={key: "x"}, versioning=True)
    assert bench.counter.methods == []
    assert await bench.driver.read_marker(bench.name) == MARKER


UNTAKEN = {
    "many": {f"tag-{n}": "x" for n in range(46)},
    "long name": {"k" * 129: "v"},
    "long value": {"k": "v" * 257},
    "no name": {"": "v"},
    "control": {"k": "a\nb"},
    "sign": {"k": "(v)"},
}


@pytest.mark.parametrize("case", UNTAKEN)
async def test_tags_that_s3_does_not_take_leave_those_that_are_there(bench: Bench, case: str) -> None:
    await bench.driver.write_marker(bench.name, MARKER)
    await bench.set(tags={"kept": "x"})
    with pytest.raises(InvalidSpecError):
        await bench.set(tags=UNTAKEN[case])
    assert (await bench.settings()).tags == {"kept": "x"}
    assert await bench.driver.read_marker(bench.name) == MARKER


async def test_as_many_tags_as_there_may_be_and_as_long_ones(bench: Bench) -> None:
    await bench.driver.write_marker(bench.name, MARKER)
    most = {f"{n:0128}": "v" * 256 for n in range(45)}
    await bench.set(tags=most)
    assert (await bench.settings()).tags == most


async def test_letters_of_other_scripts_are_refused_where_the_backend_refuses_them(bench: Bench) -> None:
    tags = {"équipe": "日本"}
    if bench.driver.capabilities.dialect == Dialect.MINIO:
        with pytest.raises(InvalidSpecError):
            await bench.set(tags=tags)
    else:
        await bench.set(tags=tags)
        assert (await bench.settings()).tags == tags


async def test_rules_of_others_stay(bench: Bench) -> None:
    bench.put_rules(FOREIGN_RULE)
    before = bench.rules()
    assert (await bench.settings()).expire_after_days == 0
    await bench.set(expire_after_days=30)
    assert [rule for rule in bench.rules() if rule["ID"] != RULE] == before
    assert (await bench.settings()).expire_after_days == 30
    await bench.set(expire_after_days=31)
    assert len(bench.rules()) == 2
    await bench.set(expire_after_days=0)
    assert bench.rules() == before


@pytest.mark.parametrize("change", [{"Status": "Disabled"}, {"Filter": {"Prefix": "only/"}}], ids=["off", "narrowed"])
async def test_a_rule_of_ours_that_somebody_weakened_counts_as_none_and_is_repaired(
    bench: Bench, change: dict[str, object]
) -> None:
    await bench.set(expire_after_days=30)
    bench.put_rules(FOREIGN_RULE, *({**rule, **change} for rule in bench.rules()))
    assert (await bench.settings()).expire_after_days == 0
    await bench.set(expire_after_days=30)
    assert (await bench.settings()).expire_after_days == 30
    assert {rule["ID"] for rule in bench.rules()} == {RULE, "theirs"}


async def test_versioning_that_is_suspended_is_off(bench: Bench) -> None:
    await bench.set(versioning=True)
    bench.client.put_bucket_versioning(Bucket=bench.name, VersioningConfiguration={"Status": "Suspended"})
    assert (await bench.settings()).versioning is False
    assert await bench.writes(versioning=False) == 0


@pytest.mark.parametrize(
    ("asked", "requests"),
    [
        (ContainerSettings(tags={}), ["tagging"]),
        (ContainerSettings(versioning=False), ["versioning"]),
        (ContainerSettings(expire_after_days=0), ["lifecycle"]),
        (ContainerSettings(tags={"a": "b"}, expire_after_days=3), ["tagging", "lifecycle"]),
        (None, ["tagging", "versioning", "lifecycle"]),
    ],
)
async def test_what_nobody_asks_for_is_not_read(
    bench: Bench, asked: ContainerSettings | None, requests: list[str]
) -> None:
    """Each of them is a right of its own: who sets tags alone need not be allowed to read lifecycle rules."""
    await bench.set(tags={"a": "b"}, versioning=True, expire_after_days=3)
    bench.counter.queries.clear()
    found = await bench.driver.container_settings(bench.name, asked)
    assert bench.counter.queries == requests
    whole = ContainerSettings(tags={"a": "b"}, versioning=True, expire_after_days=3)
    for field in fields(ContainerSettings):
        given = asked is None or getattr(asked, field.name) is not None
        assert getattr(found, field.name) == (getattr(whole, field.name) if given else None)


async def test_a_bucket_that_does_not_exist_has_no_settings(bench: Bench, unique_name: Unique) -> None:
    missing = unique_name("missing")
    with pytest.raises(ContainerNotFoundError):
        await bench.driver.container_settings(missing)
    for wanted in (
        ContainerSettings(tags={"a": "b"}),
        ContainerSettings(versioning=True),
        ContainerSettings(expire_after_days=1),
        ContainerSettings(tags={}),
        ContainerSettings(expire_after_days=0),
    ):
        with pytest.raises(ContainerNotFoundError):
            await bench.driver.configure_container(missing, wanted)


async def test_a_dialect_without_settings_asks_for_none(minio: MinioServer, unique_name: Unique) -> None:
    name = unique_name("s3")
    counter = Counter()
    driver = server_driver(minio, dialect=Dialect.GENERIC, counter=counter)
    assert not TRAITS[Dialect.GENERIC].capabilities.tags
    await driver.create_container(name, None)
    counter.methods.clear()
    assert await driver.container_settings(name) == ContainerSettings()
    assert counter.methods == ["HEAD"]  # whether it is there at all
    await driver.delete_container(name)
    with pytest.raises(ContainerNotFoundError):
        await driver.container_settings(name)
    await driver.aclose()
