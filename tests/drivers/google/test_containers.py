"""Buckets: their labels, rules and versions, on a stand-in that keeps them as Google documents it (fake-gcs-server keeps none)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.google.setup import answer, path, query, refusal, stub_driver
from servers.stub import Seen, http, serve
from stow.drivers.google import labels
from stow.drivers.google.driver import GoogleDriver
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    InvalidSpecError,
)
from stow.storage.model import ContainerContents, ContainerSettings, Marker

MARKER = Marker("install-1", "team-a", "reports.2026", "0b5c-1", "nonce-1")
OTHER = Marker("install-2", "team-b", "Ünicode " * 20, "0b5c-2")


class Buckets:
    """The bucket resource of the JSON API: created, read, patched under a metageneration, deleted. ``between`` runs before a patch."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Any]] = {}
        self.objects = 0
        self.between: list[Any] = []

    def __call__(self, seen: Seen) -> bytes:
        if seen.method == "POST":
            return self._create(json.loads(seen.body))
        bucket = self.buckets.get(path(seen).split("/")[4])
        if bucket is None:
            return refusal(404, "notFound")
        if path(seen).endswith("/o"):
            items = [{"timeDeleted": "2026-11-23T02:00:00Z"}, {}, {}]
            return answer({"items": items, "nextPageToken": "more"})
        if seen.method == "PATCH":
            return self._patch(bucket, query(seen), json.loads(seen.body))
        if seen.method == "DELETE":
            return refusal(409, "conflict") if self.objects else http(204)
        return answer(bucket)

    def _create(self, wanted: dict[str, Any]) -> bytes:
        if wanted["name"] in self.buckets:
            return refusal(409, "conflict")
        self.buckets[wanted["name"]] = {**wanted, "metageneration": "1"}
        return answer(self.buckets[wanted["name"]])

    def _patch(self, bucket: dict[str, Any], asked: dict[str, str], wanted: dict[str, Any]) -> bytes:
        if self.between:
            self.between.pop()(bucket)
        if asked["ifMetagenerationMatch"] != bucket["metageneration"]:
            return refusal(412, "conditionNotMet")
        changed = {**bucket.get("labels", {}), **wanted.pop("labels", {})}
        bucket.update(wanted)
        bucket["labels"] = {name: value for name, value in changed.items() if value is not None}
        bucket["metageneration"] = str(int(bucket["metageneration"]) + 1)
        return answer(bucket)


def changed_by_another(bucket: dict[str, Any]) -> None:
    bucket["labels"] = {**bucket.get("labels", {}), "theirs": "new"}
    bucket["metageneration"] = str(int(bucket["metageneration"]) + 1)


def driver_of(endpoint: str) -> GoogleDriver:
    return stub_driver(endpoint, project="team-project")


async def test_a_bucket_is_made_private_and_marked_in_one_request() -> None:
    async with serve(Buckets()) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", MARKER)
        await driver.aclose()
    (seen,) = stub.requests
    assert (path(seen), query(seen)["project"]) == ("/storage/v1/b", "team-project")
    wanted = json.loads(seen.body)
    assert wanted["name"] == "b-1"
    assert wanted["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert wanted["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert wanted["labels"]["stowstore-namespace"] == "team-a"
    assert labels.decode(wanted["labels"]) == MARKER


async def test_every_conflict_is_a_taken_name() -> None:
    """Fault 6: the original takes every 409 as "already mine"."""
    async with serve(Buckets()) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", None)
        with pytest.raises(ContainerTakenError):
            await driver.create_container("b-1", MARKER)
        await driver.aclose()


async def test_a_bucket_needs_a_project() -> None:
    async with serve(Buckets()) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(InvalidSpecError, match="project"):
            await driver.create_container("b-1", None)
        await driver.aclose()
    assert stub.requests == []


async def test_a_marker_comes_back_exactly_and_leaves_the_labels_of_others() -> None:
    buckets = Buckets()
    async with serve(buckets) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", None)
        buckets.buckets["b-1"]["labels"] = {"theirs": "1", "stowstore-like": "2", "stowstore-expire-days": "9"}
        assert await driver.read_marker("b-1") is None
        for marker in (MARKER, OTHER, None, OTHER, MARKER):
            await driver.write_marker("b-1", marker)
            assert await driver.read_marker("b-1") == marker
        kept = {"theirs": "1", "stowstore-like": "2", "stowstore-expire-days": "9"}
        assert labels.without_marker(buckets.buckets["b-1"]["labels"]) == kept
        await driver.aclose()


async def test_a_change_of_another_one_meanwhile_is_not_lost() -> None:
    buckets = Buckets()
    buckets.between = [changed_by_another]
    async with serve(buckets) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", None)
        await driver.write_marker("b-1", MARKER)
        assert await driver.read_marker("b-1") == MARKER
        await driver.aclose()
    assert buckets.buckets["b-1"]["labels"]["theirs"] == "new"


async def test_endless_changes_of_others_are_an_error() -> None:
    buckets = Buckets()
    buckets.between = [changed_by_another] * 100
    async with serve(buckets) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", None)
        with pytest.raises(BackendFailedError, match="somebody else"):
            await driver.write_marker("b-1", MARKER)
        await driver.aclose()


async def test_settings_are_kept_beside_marker_and_rules_of_others() -> None:
    buckets = Buckets()
    foreign = {"action": {"type": "Delete"}, "condition": {"age": 400}}
    narrow = {"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": ["tmp/"]}}
    unknown = {"action": {"type": "OfTomorrow"}, "condition": {"moon": "full"}}
    async with serve(buckets) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", MARKER)
        buckets.buckets["b-1"]["lifecycle"] = {"rule": [foreign, narrow, unknown]}
        assert await driver.container_settings("b-1") == ContainerSettings({}, versioning=False, expire_after_days=0)
        for wanted in (
            ContainerSettings({"team": "a", "empty": ""}, versioning=True, expire_after_days=7),
            ContainerSettings({"cost": "12"}, versioning=True, expire_after_days=400),
            ContainerSettings({}, versioning=False, expire_after_days=0),
        ):
            await driver.configure_container("b-1", wanted)
            assert await driver.container_settings("b-1") == wanted
            assert await driver.read_marker("b-1") == MARKER
            assert [rule for rule in (narrow, unknown) if rule not in buckets.buckets["b-1"]["lifecycle"]["rule"]] == []
        await driver.configure_container("b-1", ContainerSettings(expire_after_days=30))
        await driver.configure_container("b-1", ContainerSettings(tags={"team": "b"}))
        assert await driver.container_settings("b-1") == ContainerSettings(
            {"team": "b"}, versioning=False, expire_after_days=30
        )
        assert foreign in buckets.buckets["b-1"]["lifecycle"]["rule"]
        await driver.aclose()


@pytest.mark.parametrize("days", ["²", "٣", "1e3", "-1", "007x", ""])
async def test_a_label_that_somebody_changed_names_no_rule(days: str) -> None:
    buckets = Buckets()
    async with serve(buckets) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", MARKER)
        buckets.buckets["b-1"]["labels"]["stowstore-expire-days"] = days
        buckets.buckets["b-1"]["lifecycle"] = {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 3}}]}
        assert (await driver.container_settings("b-1")).expire_after_days == 0
        await driver.configure_container("b-1", ContainerSettings(expire_after_days=5))
        assert (await driver.container_settings("b-1")).expire_after_days == 5
        await driver.aclose()


@pytest.mark.parametrize(
    "tags",
    [{"Team": "a"}, {"1st": "a"}, {"a": "A"}, {"a": "x" * 64}, {"a" * 64: "b"}, {"a b": ""}, {"stowstore-uid": "x"}],
)
async def test_a_tag_that_is_no_label_is_refused_before_io(tags: dict[str, str]) -> None:
    async with serve(Buckets()) as stub:
        driver = driver_of(stub.endpoint)
        with pytest.raises(InvalidSpecError, match="label"):
            await driver.configure_container("b-1", ContainerSettings(tags=tags))
        await driver.aclose()
    assert stub.requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda driver: driver.read_marker("b-9"),
        lambda driver: driver.write_marker("b-9", MARKER),
        lambda driver: driver.container_settings("b-9"),
        lambda driver: driver.configure_container("b-9", ContainerSettings(versioning=True)),
        lambda driver: driver.container_contents("b-9"),
    ],
)
async def test_what_is_asked_of_a_missing_bucket_says_so(call: Any) -> None:
    async with serve(Buckets()) as stub:
        driver = driver_of(stub.endpoint)
        with pytest.raises(ContainerNotFoundError):
            await call(driver)
        assert not await driver.container_exists("b-9")
        await driver.delete_container("b-9")
        await driver.aclose()


async def test_a_bucket_that_is_not_empty_stays_and_counts_its_versions() -> None:
    buckets = Buckets()
    async with serve(buckets) as stub:
        driver = driver_of(stub.endpoint)
        await driver.create_container("b-1", None)
        buckets.objects = 1
        with pytest.raises(ContainerNotEmptyError):
            await driver.delete_container("b-1")
        assert await driver.container_contents("b-1") == ContainerContents(objects=2, versions=1, truncated=True)
        assert query(stub.requests[-1])["versions"] == "true"
        await driver.aclose()


@pytest.mark.parametrize("call", ["container_exists", "read_marker", "delete_container", "container_contents"])
async def test_a_denied_bucket_is_not_absent(call: str) -> None:
    async with serve(lambda _: refusal(403, "forbidden")) as stub:
        driver = driver_of(stub.endpoint)
        with pytest.raises(AccessDeniedError) as caught:
            await getattr(driver, call)("b-1")
        assert "SECRET" not in repr(caught.value)
        await driver.aclose()


@pytest.mark.parametrize(("listed", "expected"), [(answer({}), True), (refusal(404, "notFound"), False)])
@pytest.mark.parametrize("denied", [401, 403])
async def test_who_may_list_objects_need_not_see_the_bucket(listed: bytes, expected: bool, denied: int) -> None:
    async with serve(lambda seen: listed if path(seen).endswith("/o") else refusal(denied, "other")) as stub:
        driver = driver_of(stub.endpoint)
        assert await driver.container_exists("b-1") is expected
        await driver.aclose()


async def test_the_probe_takes_absence_for_an_answer_and_a_denial_only_without_a_container() -> None:
    async with serve(lambda _: refusal(404, "notFound")) as stub:
        driver = driver_of(stub.endpoint)
        await driver.probe("b-1")
        await driver.probe(None)
        await driver.aclose()
    async with serve(lambda _: refusal(403, "forbidden")) as stub:
        driver = driver_of(stub.endpoint)
        await driver.probe(None)
        with pytest.raises(AccessDeniedError):
            await driver.probe("b-1")
        await driver.aclose()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=253)


@given(TEXT, TEXT, TEXT, TEXT.filter(bool), TEXT)
def test_any_marker_fits_into_labels(installation: str, namespace: str, name: str, uid: str, nonce: str) -> None:
    marker = Marker(installation, namespace, name, uid, nonce)
    encoded = labels.encode(marker)
    assert all(labels._PLAIN.fullmatch(value) for value in encoded.values())
    assert all(labels._PLAIN.fullmatch(label) for label in encoded)
    assert labels.decode({**encoded, "theirs": "x"}) == marker


def test_the_longest_names_of_kubernetes_fit_into_googles_64_labels() -> None:
    marker = Marker("i" * 63, "n" * 63, "a." * 126 + "a", "u" * 36, "0" * 32)
    assert len(labels.encode(marker)) <= 16


@pytest.mark.parametrize("damage", [{"stowstore-name-0": "8"}, {"stowstore-name": "x"}])
def test_a_damaged_marker_is_nobodys_and_not_absent(damage: dict[str, str]) -> None:
    with pytest.raises(BackendFailedError):
        labels.decode(damage)
