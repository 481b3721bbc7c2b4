"""Wrong custom resources and Secrets: each has its own clear answer in status, and heals when it is put right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.installation import Installation, s3_spec
from e2e.stub_s3 import stub_s3
from operatorworld import condition, message
from stow.reconcile.objects import ObjectRef


@dataclass(frozen=True, slots=True)
class BadLocation:
    """What is wrong, and what status says: the condition that tells it, its reason, and words of its message."""

    condition: str
    reason: str
    says: tuple[str, ...]
    s3: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, str | None] = field(default_factory=dict)
    """Over the right Secret; None takes a key away. ``{"": ...}``: there is no Secret."""
    heals: bool = True


LOCATIONS = {
    "no Secret": BadLocation(
        "CredentialsValid", "CredentialsMissing", ("The Secret keys", "create it"), secret={"": ""}
    ),
    "wrong value": BadLocation(
        "CredentialsValid",
        "CredentialsInvalid",
        ("does not accept",),
        secret={"AWS_SECRET_ACCESS_KEY": "canary-wrong-secret"},
    ),
    "wrong key id": BadLocation(
        "CredentialsValid", "CredentialsInvalid", ("does not accept",), secret={"AWS_ACCESS_KEY_ID": "CANARYWRONGID"}
    ),
    "key misspelt": BadLocation(
        "CredentialsValid",
        "CredentialsInvalid",
        ("the key SECRET_KEY", "not known"),
        secret={"AWS_SECRET_ACCESS_KEY": None, "SECRET_KEY": "canary-misspelt"},
    ),
    "key missing": BadLocation(
        "CredentialsValid",
        "CredentialsInvalid",
        ("lacks the key AWS_SECRET_ACCESS_KEY",),
        secret={"AWS_SECRET_ACCESS_KEY": None},
    ),
    "line break": BadLocation(
        "CredentialsValid", "CredentialsInvalid", ("line break",), secret={"AWS_SECRET_ACCESS_KEY": "canary-break\n"}
    ),
    "role": BadLocation(
        "CredentialsValid",
        "UnsupportedCredentialType",
        ("AWS_ROLE_ARN", "only plain access keys"),
        secret={"AWS_ROLE_ARN": "arn:aws:iam::1:role/canary"},
    ),
    "token file": BadLocation(
        "CredentialsValid",
        "UnsupportedCredentialType",
        ("AWS_WEB_IDENTITY_TOKEN_FILE",),
        secret={"AWS_WEB_IDENTITY_TOKEN_FILE": "/etc/canary-file"},
    ),
    "other cloud": BadLocation(
        "CredentialsValid",
        "UnsupportedCredentialType",
        ("credentials.json",),
        secret={"credentials.json": '{"type": "external_account", "token_url": "http://127.0.0.1:9/canary"}'},
    ),
    "nobody listens": BadLocation("Reachable", "Unreachable", ("connect",), s3={"endpoint": "http://127.0.0.1:9"}),
    "no such name": BadLocation("Reachable", "Unreachable", ("",), s3={"endpoint": "http://no-such-host.invalid:9000"}),
    "metadata service": BadLocation(
        "Reachable", "EndpointForbidden", ("not allowed",), s3={"endpoint": "http://169.254.169.254"}
    ),
}


@pytest.mark.parametrize("bad", LOCATIONS.values(), ids=LOCATIONS)
async def test_a_wrong_location_says_what_is_wrong_and_heals(installation: Installation, bad: BadLocation) -> None:
    cluster = installation.cluster
    team = await cluster.namespace()
    right = installation.minio_keys()
    if "" not in bad.secret:
        wrong = {key: value for key, value in {**right, **bad.secret}.items() if value is not None}
        await cluster.secret(team, "keys", wrong)
    spec = installation.s3_spec("keys")
    good_s3 = dict(spec["s3"])
    spec["s3"] = {**good_s3, **bad.s3}
    location = await cluster.create("StowLocation", team, "main", spec)
    found = await cluster.reason(location, bad.reason, bad.condition)
    assert condition(found, "Ready") == ("False", bad.reason)
    for words in bad.says:
        assert words in message(found, bad.condition), message(found, bad.condition)
    assert "canary" not in str(found["status"]).lower()

    if bad.secret:
        secret = ObjectRef("Secret", team, "keys")
        if "" not in bad.secret:
            await cluster.delete(secret)
        await cluster.secret(team, "keys", right)
    else:
        await cluster.patch(location, {"spec": {"s3": good_s3}})
    await cluster.ready(location)


async def test_another_region_is_said_and_heals(installation: Installation) -> None:
    """MinIO takes any region; AWS answers as this stub does."""
    cluster = installation.cluster
    team = await cluster.namespace()
    async with stub_s3(region="eu-north-1") as stub:
        await cluster.secret(team, "keys", {"AWS_ACCESS_KEY_ID": "stub", "AWS_SECRET_ACCESS_KEY": "stub"})
        spec = s3_spec(stub.endpoint, "keys", region="us-east-1")
        location = await cluster.create("StowLocation", team, "main", spec)
        found = await cluster.reason(location, "WrongRegion", "Reachable")
        assert condition(found, "Ready") == ("False", "WrongRegion")
        assert "region" in message(found)
        await cluster.patch(location, {"spec": {"s3": {"region": "eu-north-1"}}})
        await cluster.ready(location)
        await cluster.delete(location)


async def cluster_location(installation: Installation, name: str, **more: Any) -> ObjectRef:
    spec = {"local": {"path": name}, **more}
    found = await installation.cluster.create("ClusterStowLocation", None, name, spec)
    await installation.cluster.ready(found)
    return found


def asks(location: str, **more: Any) -> dict[str, Any]:
    return {"locationRef": {"kind": "ClusterStowLocation", "name": location}, **more}


async def test_an_unknown_location_is_named_and_waited_for(installation: Installation) -> None:
    cluster = installation.cluster
    team = await cluster.namespace()
    container = await installation.container(team, "reports", location="nowhere")
    found = await cluster.reason(container, "LocationNotFound")
    assert "StowLocation nowhere does not exist" in message(found)
    await installation.location("local", team, "nowhere")
    await cluster.ready(container)


async def test_a_foreign_namespace_waits_until_it_is_let_in(installation: Installation) -> None:
    cluster = installation.cluster
    team, other = await cluster.namespace(), await cluster.namespace("other")
    location = await cluster_location(installation, team, allowedNamespaces={"names": [other]})
    container = await cluster.create("StowContainer", team, "reports", asks(team))
    found = await cluster.reason(container, "NamespaceNotAllowed")
    assert "allowedNamespaces" in message(found)
    assert other not in str(found["status"])
    await cluster.patch(location, {"spec": {"allowedNamespaces": {"names": [other, team]}}})
    assert (await cluster.ready(container))["status"]["fqn"] == f"file://{team}-reports"
    await cluster.delete(container)
    await cluster.gone(container)
    await cluster.delete(location)


async def test_a_forbidden_name_stalls(installation: Installation) -> None:
    cluster = installation.cluster
    team = await cluster.namespace()
    location = await cluster_location(installation, team, allowedNamespaces={"names": [team]})
    container = await cluster.create("StowContainer", team, "reports", asks(team, containerName="not-mine"))
    found = await cluster.reason(container, "NameNotAllowed")
    assert condition(found, "Stalled") == ("True", "NameNotAllowed")
    assert "not-mine" in message(found)
    assert "containerNamePattern" in message(found)
    await cluster.delete(container)
    await cluster.gone(container)
    await cluster.delete(location)


async def test_a_container_of_somebody_else_is_not_taken(installation: Installation) -> None:
    """Made by hand, and made by another namespace, whose name is not told."""
    cluster = installation.cluster
    team, other = await cluster.namespace(), await cluster.namespace("other")
    async with installation.backend("minio", team) as backend:
        await backend.create_container(f"{team}-manual", None)
    await installation.location("minio", team)
    manual = await installation.container(team, "manual")
    found = await cluster.reason(manual, "AlreadyExists")
    assert "provision: Load" in message(found)

    await installation.location("minio", other)
    await cluster.ready(await installation.container(other, "taken"))
    thief = await installation.container(team, "thief", containerName=f"{other}-taken")
    found = await cluster.until(thief, lambda now: condition(now, "Stalled") is not None, "Stalled")
    assert condition(found, "Ready") in {("False", "Conflict"), ("False", "AlreadyExists")}
    assert "in use elsewhere" in message(found)
    mine = str(found["status"]).replace(f"{other}-taken", "")
    assert other not in mine
